-- Confirmations, the audit log, and what deleting a user needs.

CREATE TABLE confirmations (
    id         TEXT    NOT NULL PRIMARY KEY,
    code       TEXT    NOT NULL,
    root       BLOB    NOT NULL,
    -- Ids of executions, 12 bytes each, in their order.
    executions BLOB    NOT NULL,
    state      TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    requester  TEXT    NOT NULL,
    network    TEXT,
    channel    TEXT,
    held_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    closed_at  INTEGER,
    json       TEXT    NOT NULL
) STRICT;

-- The writer looks before it writes; this holds whatever it overlooks.
CREATE UNIQUE INDEX confirmations_open_code ON confirmations (code) WHERE state = 'open';
CREATE INDEX confirmations_code ON confirmations (code);
CREATE INDEX confirmations_expiry ON confirmations (state, expires_at);
-- Listings, newest first, and counts of what is open.
CREATE INDEX confirmations_all ON confirmations (held_at, id);
CREATE INDEX confirmations_state ON confirmations (state, held_at, id);
CREATE INDEX confirmations_requester ON confirmations (requester, state, held_at, id);
CREATE INDEX confirmations_channel ON confirmations (network, channel, state, held_at, id) WHERE channel IS NOT NULL;
CREATE INDEX confirmations_root ON confirmations (root, held_at, id);

-- Which confirmations hold an execution back, or did.
CREATE TABLE confirmation_runs (
    execution    BLOB NOT NULL,
    confirmation TEXT NOT NULL,
    PRIMARY KEY (execution, confirmation)
) STRICT, WITHOUT ROWID;

-- Each row carries the hash of the one before it; see audit.rs for the bytes.
CREATE TABLE audit (
    seq          INTEGER NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    event        TEXT    NOT NULL,
    person       TEXT,
    confirmation TEXT,
    execution    BLOB,
    data         TEXT    NOT NULL,
    previous     BLOB    NOT NULL,
    sha          BLOB    NOT NULL
) STRICT;
CREATE INDEX audit_confirmation ON audit (confirmation) WHERE confirmation IS NOT NULL;

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is never shortened');
END;
-- Also keeps REPLACE out, which deletes without the trigger above.
CREATE TRIGGER audit_no_gap BEFORE INSERT ON audit
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit) BEGIN
    SELECT RAISE(ABORT, 'the audit log has no gaps');
END;

CREATE INDEX tokens_user ON tokens (user);
