import { createHash } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { MIGRATIONS } from './migrations.ts';

/** Of each migration that was ever released. A line is added for a new one; none is changed. */
const RELEASED: Readonly<Record<string, string>> = {
  '1 initial': '8af1bd71e110ddc5',
  '2 catch-up': '6fd29c200f89c20b',
  '3 calendars': '138673e26e1bbeea',
  '4 slots': '7b8f3cab930a169f',
  '5 ledger': '8c057afd694ae3df',
  '6 explain': 'e08e98467c0f46d8',
  '7 zone-data': 'a8c2ead77abe8063',
  '8 level': 'bdff7bf762aeca3f',
};

/** What programs of the version before cannot live with, while they run on or when they are started again. */
const TAKES_AWAY = /\b(DROP|RENAME|TRUNCATE|ALTER COLUMN|SET NOT NULL|ADD CONSTRAINT|ADD CHECK)\b/i;
const REQUIRED_COLUMN = /ADD COLUMN(?![^,;]*\bDEFAULT\b)[^,;]*\bNOT NULL\b/i;

describe('migrations', () => {
  it('are never edited once they are released', () => {
    const digests = MIGRATIONS.map(({ version, name, sql }) => [
      `${version} ${name}`,
      createHash('sha256').update(sql).digest('hex').slice(0, 16),
    ]);
    expect(Object.fromEntries(digests)).toEqual(RELEASED);
    expect(MIGRATIONS.map(({ version }) => version)).toEqual(MIGRATIONS.map((_, at) => at + 1));
  });

  it.each(MIGRATIONS)('$version ($name) only adds, or says that it takes away', ({ contracts, sql }) => {
    const statements = sql.replaceAll(/--.*$/gm, '');
    if (contracts !== true) expect(statements).not.toMatch(TAKES_AWAY);
    expect(statements).not.toMatch(REQUIRED_COLUMN);
  });

  it.each([
    'ALTER TABLE belfry.task DROP COLUMN key',
    'ALTER TABLE belfry.task RENAME COLUMN key TO name',
    'ALTER TABLE belfry.task ALTER COLUMN key SET NOT NULL',
    'ALTER TABLE belfry.task ADD COLUMN a integer NOT NULL',
    'ALTER TABLE belfry.task ADD COLUMN b integer NOT NULL DEFAULT 0, ADD COLUMN a integer NOT NULL',
  ])('are not of this kind: %s', (sql) => {
    expect(TAKES_AWAY.test(sql) || REQUIRED_COLUMN.test(sql)).toBe(true);
  });
});
