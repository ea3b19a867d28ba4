# %% [markdown]
# # 62
