# %% [markdown]
# # 50
