-- Whose agent may have to be started is asked after every commit: not by reading every workspace.

CREATE INDEX workspaces_agents ON workspaces (id) WHERE runtime IS NOT NULL AND desired_state = 'running';
