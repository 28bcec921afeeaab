import { createTestDatabase, type TestDatabase } from '@belfry/adapter-embedded/testing';
import { LIMITS } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { SchemaTooNew } from './errors.ts';
import { PostgresLink } from './link.ts';
import { migrate } from './migrations.ts';
import { Sessions } from './sessions.ts';
import { execution, install, Owner, task, T0 } from './test-support.ts';

const DAY_MS = 86_400_000;

describe('the schema', () => {
  let database: TestDatabase;
  let links: PostgresLink[];
  beforeEach(async () => {
    database = await createTestDatabase(process.env['BELFRY_TEST_POSTGRES_URL'] as string);
    links = Array.from({ length: 4 }, () => new PostgresLink(database.url));
  });
  afterEach(async () => {
    await Promise.all(links.map((link) => link.close()));
    await database.drop();
  });

  it('is made once by programs that start at the same time', async () => {
    const applied = await Promise.all(links.map((link) => link.migrate()));
    const versions = applied.flat();
    expect(versions.length).toBeGreaterThan(1);
    expect(versions).toEqual(versions.map((_, at) => at + 1));
    expect(await links[0]?.migrate()).toEqual([]);
  });

  it('fixes the number of shards once, whoever comes first', async () => {
    await links[0]?.migrate();
    const shards = await Promise.all(links.map((link, at) => link.ensureInstallation(3 + at)));
    expect(new Set(shards).size).toBe(1);
    expect(await links[0]?.ensureInstallation(200)).toBe(shards[0]);
    await expect(links[0]?.ensureInstallation(0)).rejects.toBeInstanceOf(RangeError);
  });

  it('goes forward only, and says so when a newer program has taken something away', async () => {
    const sessions = new Sessions({ url: database.url, name: 'm', connections: 1, statementMs: 5_000, lockMs: 5_000 });
    const first = { version: 1, name: 'one', sql: 'CREATE TABLE belfry.one (a integer)' };
    const second = { version: 2, name: 'two', sql: 'CREATE TABLE belfry.two (a integer)' };
    const broken = { version: 3, name: 'three', sql: 'CREATE TABLE belfry.three (a integer); SELECT no_such_thing' };
    expect(await sessions.use((session) => migrate(session, [first]))).toEqual([1]);
    await expect(sessions.use((session) => migrate(session, [first, second, broken]))).rejects.toThrow('no_such_thing');
    expect(await sessions.use((session) => migrate(session, [first, second]))).toEqual([]);
    // What the newer one has added does not keep the older one from starting again; what it takes away does.
    expect(await sessions.use((session) => migrate(session, [first]))).toEqual([]);
    const third = { version: 3, name: 'three', sql: 'DROP TABLE belfry.one', contracts: true } as const;
    expect(await sessions.use((session) => migrate(session, [first, second, third]))).toEqual([3]);
    await expect(sessions.use((session) => migrate(session, [first, second]))).rejects.toBeInstanceOf(SchemaTooNew);
    await sessions.close();
  });
});

describe('day partitions', () => {
  it('are made ahead, once, by however many ask, and dropped after their retention', async () => {
    await using installed = await install();
    const other = new PostgresLink(installed.url);
    const both = await Promise.all([installed.link.ensurePartitions(T0), other.ensurePartitions(T0)]);
    const created = both.flatMap((changes) => changes.created);
    expect(created).toHaveLength(3 * (LIMITS.historyDaysAhead + 2));
    expect(created).toContain('execution_20260921');
    expect(await other.ensurePartitions(T0)).toEqual({ created: [], dropped: [] });
    const later = await other.ensurePartitions(T0 + LIMITS.historyDays * DAY_MS);
    expect(later.dropped).toContain('command_20260921');
    expect(later.dropped.filter((name) => name.startsWith('execution'))).toEqual(['execution_20260920']);
    await other.close();
  });

  it('take over what the default partition held for them, while checkpoints go on', async () => {
    await using installed = await install();
    const owner = new Owner(installed.link);
    await owner.take();
    const tasks = Array.from({ length: 6 }, () => task());
    const at = (day: number): number => T0 + day * DAY_MS;
    const rows = tasks.map((of, day) => execution(of, { acceptedAt: at(day), scheduledAt: at(day) }));
    await owner.record(...rows);
    const more = Array.from({ length: 20 }, (_, i) => execution(task(), { acceptedAt: at(2), scheduledAt: at(2) + i }));
    // Rows that wait for the default partition find that their day has moved out of it: they are written at the second try.
    const until = async (row: (typeof more)[0]): Promise<void> => {
      const deltas = owner.deltas(
        [row],
        (of) => of.task,
        (history) => ({ history, seq: 2 }),
      );
      const commit = () => installed.link.checkpoints.commit(deltas, row.task);
      await expect.poll(async () => (await commit()).kind).toBe('ok');
    };
    await Promise.all([installed.link.ensurePartitions(at(1)), ...more.map(until)]);
    const { items } = await installed.link.queries.executions('acme', { limit: 100 });
    expect(items).toHaveLength(26);
    const sessions = new Sessions({ url: installed.url, name: 'm', connections: 1, statementMs: 5_000, lockMs: 5_000 });
    const { rows: counts } = await sessions.use((session) =>
      session.query<{ rest: number; day: number }>(
        'SELECT (SELECT count(*) FROM belfry.execution_rest) AS rest, (SELECT count(*) FROM belfry.execution_20260923) AS day',
      ),
    );
    expect(counts).toEqual([{ rest: 0, day: 21 }]);
    await sessions.close();
  });
});

describe('the link', () => {
  it('counts crashes by message, and knows the lowest checkpoint', async () => {
    await using installed = await install();
    const { link } = installed;
    expect(await link.countCrash(3, 17, 'TypeError: \0 oops')).toBe(1);
    expect(await link.countCrash(3, 17, 'again')).toBe(2);
    expect(await link.countCrash(3, 18, 'another')).toBe(1);
    expect(await link.lowestCheckpointSeq()).toBe(0);
    const owner = new Owner(link);
    await owner.take();
    await owner.insert(...Array.from({ length: 200 }, () => task()));
    expect(await link.lowestCheckpointSeq()).toBe(1);
  });
});
