/** Schedules whose minute was chosen (`between`): how many tasks have which, so that the next one gets an empty one. */
export const slots = `
CREATE INDEX task_slots ON belfry.task (schedule) WHERE schedule LIKE 's{%"slot":%' AND ended_state IS NULL;
`;
