/** The highest level at which rows and messages of this installation may have been written: who does not read it does not start. */
export const level = `
ALTER TABLE belfry.installation ADD COLUMN level integer NOT NULL DEFAULT 1;
`;
