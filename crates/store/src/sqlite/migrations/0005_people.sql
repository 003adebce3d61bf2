-- People: what they are called, groups, linked chat identities, second factors, API keys.

-- `{"shown": …, "groups": […]}`
ALTER TABLE users ADD COLUMN profile TEXT NOT NULL DEFAULT '{}';

-- An identity belongs to one person at most. An empty workspace is none.
CREATE TABLE identities (
    network   TEXT    NOT NULL,
    workspace TEXT    NOT NULL,
    user_id   TEXT    NOT NULL,
    user      TEXT    NOT NULL,
    linked    INTEGER NOT NULL,
    how       TEXT    NOT NULL,
    PRIMARY KEY (network, workspace, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_user ON identities (user);

-- The first version kept links among the settings.
INSERT OR IGNORE INTO identities (network, workspace, user_id, user, linked, how)
    SELECT json_extract(substr(name, 6), '$[0]'), json_extract(substr(name, 6), '$[1]'),
           json_extract(substr(name, 6), '$[2]'), value, 0, 'admin'
    FROM meta WHERE name >= 'link/' AND name < 'link0';
DELETE FROM meta WHERE (name >= 'link/' AND name < 'link0') OR (name >= 'identities/' AND name < 'identities0');

-- One second factor for each person. `step` is the last time step that was used, so that no code counts twice.
CREATE TABLE factors (
    user    TEXT    NOT NULL PRIMARY KEY,
    secret  TEXT    NOT NULL,
    active  INTEGER NOT NULL,
    created INTEGER NOT NULL,
    step    INTEGER NOT NULL,
    -- What the last code was given for, and when.
    proof   TEXT,
    proved  INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id       TEXT    NOT NULL PRIMARY KEY,
    hash     TEXT    NOT NULL,
    user     TEXT    NOT NULL,
    enabled  INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    metadata TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
CREATE INDEX api_keys_user ON api_keys (user);
