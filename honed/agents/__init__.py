"""agents: a skill file that teaches honed to agents, and its verbs as tools over MCP."""
