-- Two equal requests are one question, also when they come in the same instant.

ALTER TABLE confirmations ADD COLUMN joins TEXT;
CREATE UNIQUE INDEX confirmations_open_joins ON confirmations (joins) WHERE state = 'open' AND joins IS NOT NULL;
