-- Agents may run on a swarm. Neither engine changes a column's check the same way, so the column is made anew.

ALTER TABLE runs ADD COLUMN runs_as TEXT NOT NULL DEFAULT 'process' CHECK (runs_as IN ('process', 'container', 'swarm', 'external'));
UPDATE runs SET runs_as = kind;
ALTER TABLE runs DROP COLUMN kind;
ALTER TABLE runs RENAME COLUMN runs_as TO kind;
