import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ConnectionLost, PostgresUnavailable } from './errors.ts';
import { connectPostgres, PostgresLink } from './link.ts';
import { Sessions } from './sessions.ts';
import { BreakableNetwork, execution, install, Owner, SHARDS, task, value, type Installed } from './test-support.ts';

describe('a checkpoint when the network breaks', () => {
  let installed: Installed;
  let network: BreakableNetwork;
  let link: PostgresLink;
  let owner: Owner;
  beforeEach(async () => {
    installed = await install();
    network = await BreakableNetwork.before(installed.url);
    link = new PostgresLink(network.url);
    owner = new Owner(link);
    await owner.take();
  });
  afterEach(async () => {
    await link.close();
    await network[Symbol.asyncDispose]();
    await installed[Symbol.asyncDispose]();
  });

  const countTasks = async (): Promise<number> =>
    (await installed.link.queries.tasks('acme', { limit: 1_000 })).items.length;

  /** Cuts the connection once, when the client has sent something that holds `text`. */
  const cutAt = (text: string): void => {
    network.onRequest = (bytes, cut) => {
      if (!bytes.includes(text)) return;
      network.onRequest = () => undefined;
      cut();
    };
  };

  it.each(['BEGIN', 'belfry_lock_heads', 'COPY belfry.task', 'COPY belfry.execution', 'belfry_write_heads', 'COMMIT'])(
    'is done exactly once when the connection is lost at %s',
    async (place) => {
      const tasks = Array.from({ length: 50 }, () => task());
      const deltas = owner.deltas(
        tasks,
        ({ id }) => id,
        (inserts) => ({ inserts, history: inserts.map((of) => execution(of)) }),
      );
      cutAt(place);
      const first = await link.checkpoints.commit(deltas, 'attempt');
      expect(first.kind).toBe('retry');
      expect(value(await link.checkpoints.commit(deltas, 'attempt'))).toEqual({ fenced: [] });
      expect(value(await link.checkpoints.commit(deltas, 'attempt'))).toEqual({ fenced: [] });
      expect(await countTasks()).toBe(50);
      expect((await installed.link.queries.executions('acme', { limit: 1_000 })).items).toHaveLength(50);
    },
  );

  it('asks for references anew: the database may have been put back, and have others by these numbers', async () => {
    const before = task({ handler: 'before' });
    await owner.insert(before);
    cutAt('BEGIN');
    const after = task({ handler: 'before' });
    const deltas = owner.deltas(
      [after],
      ({ id }) => id,
      (inserts) => ({ inserts }),
    );
    expect((await link.checkpoints.commit(deltas, 'attempt')).kind).toBe('retry');
    const admin = new Sessions({ url: installed.url, name: 'test', connections: 1, statementMs: 5_000, lockMs: 5_000 });
    await admin.use((session) =>
      session.query(`UPDATE belfry.target SET handler = 'other', body = replace(body, 'before', 'other')`),
    );
    await admin.close();
    value(await link.checkpoints.commit(deltas, 'attempt'));
    const { items } = await installed.link.queries.tasks('acme', { limit: 10 });
    expect(Object.fromEntries(items.map(({ id, target }) => [id, (JSON.parse(target) as string[])[2]]))).toEqual({
      [before.id]: 'other',
      [after.id]: 'before',
    });
  });

  it('is repeated until the network is back, and the process lives on', async () => {
    const deltas = owner.deltas(
      [task()],
      ({ id }) => id,
      (inserts) => ({ inserts }),
    );
    network.onRequest = (_bytes, cut) => cut();
    network.cutAll();
    for (let i = 0; i < 3; i++) expect((await link.checkpoints.commit(deltas, 'attempt')).kind).toBe('retry');
    expect(link.isHealthy).toBe(false);
    network.onRequest = () => undefined;
    expect(value(await link.checkpoints.commit(deltas, 'attempt'))).toEqual({ fenced: [] });
    expect(await countTasks()).toBe(1);
  });

  it('that its writer left open does not hold up a takeover for long', async () => {
    const deltas = owner.deltas(
      [task()],
      ({ id }) => id,
      (inserts) => ({ inserts }),
    );
    network.onRequest = (bytes) => {
      if (bytes.includes('belfry_write_heads')) network.isSilent = true;
    };
    const paused = link.checkpoints.commit(deltas, 'attempt');
    const fresh = new Owner(installed.link);
    await expect.poll(() => network.isSilent).toBe(true);
    await fresh.take();
    network.cutAll();
    expect((await paused).kind).toBe('retry');
    network.isSilent = false;
    network.onRequest = () => undefined;
    expect(value(await link.checkpoints.commit(deltas, 'attempt')).fenced).toHaveLength(1);
    expect(await countTasks()).toBe(0);
  });

  it('does not wait for ever for a server that has gone silent', async () => {
    await using sessions = Object.assign(
      new Sessions({ url: network.url, name: 'silent', connections: 1, statementMs: 50, lockMs: 50, graceMs: 100 }),
      { [Symbol.asyncDispose]: () => Promise.resolve() },
    );
    await sessions.use((session) => session.query('SELECT 1'));
    network.isSilent = true;
    await expect(sessions.use((session) => session.query('SELECT 1'))).rejects.toBeInstanceOf(ConnectionLost);
    network.isSilent = false;
    await sessions.use((session) => session.query('SELECT 1'));
    await sessions.close();
  });

  it('loads nothing more once the connection is lost in the middle', async () => {
    await owner.insert(...Array.from({ length: 3_000 }, () => task()));
    let calls = 0;
    const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
    const load = (): ReturnType<typeof link.checkpoints.load> =>
      link.checkpoints.load(
        shards,
        () => undefined,
        () => undefined,
        () => undefined,
        () => {
          if (calls++ === 0) network.cutAll();
        },
      );
    const outcome = await load();
    const after = calls;
    expect(['retry', 'ok']).toContain(outcome.kind); // the rest may have been on its way already
    await expect.poll(async () => (await load()).kind).toBe('ok');
    expect(calls).toBeGreaterThan(after);
  });
});

describe('a URL of several servers', () => {
  const NOBODY = '127.0.0.1:1';
  const severalOf = (url: string, ...others: readonly string[]): string =>
    url.replace(new URL(url).host, [...others, new URL(url).host].join(','));

  it('takes the one that can be reached', async () => {
    await using installed = await install();
    const link = await connectPostgres(severalOf(installed.url, NOBODY), { timeoutMs: 10_000 });
    expect(await link.ensureInstallation(SHARDS)).toBe(SHARDS);
    await link.close();
  });

  it('does not take a stand-by, and goes on when the other has become the primary', async () => {
    await using installed = await install();
    // A server that says of itself that it is a stand-by the first two times that it is asked.
    const database = new URL(installed.url).pathname.slice(1);
    const admin = new Sessions({ url: installed.url, name: 'test', connections: 1, statementMs: 5_000, lockMs: 5_000 });
    await admin.use(async (session) => {
      await session.query('CREATE SCHEMA standby');
      await session.query('CREATE SEQUENCE standby.looks');
      await session.query(`CREATE FUNCTION standby.pg_is_in_recovery() RETURNS boolean LANGUAGE sql
        AS 'SELECT nextval(''standby.looks'') <= 2'`);
      await session.query(`ALTER DATABASE ${database} SET search_path = standby, pg_catalog, public`);
    });
    const url = severalOf(installed.url, NOBODY);
    const sessions = new Sessions({ url, name: 'test', connections: 1, statementMs: 5_000, lockMs: 5_000 });
    const asked = (): Promise<unknown> => sessions.use((session) => session.query('SELECT 1'));
    await expect(asked()).rejects.toThrow('it is a stand-by');
    expect(sessions.isReachable).toBe(false);
    await expect(asked()).rejects.toBeInstanceOf(ConnectionLost);
    await asked();
    expect(sessions.isReachable).toBe(true);
    await asked(); // is not asked again on the same connection
    const looks = await admin.use((session) =>
      session.query<{ last_value: number }>('SELECT last_value FROM standby.looks'),
    );
    expect(looks.rows).toEqual([{ last_value: 3 }]);
    await sessions.close();
    await admin.close();
  });
});

describe('connecting', () => {
  it('tries again, and gives up after the time given with an error that names the place', async () => {
    const retries: number[] = [];
    const refused = connectPostgres('postgresql://belfry:secret@127.0.0.1:1/belfry', {
      timeoutMs: 400,
      onRetry: (_error, attempt) => void retries.push(attempt),
    });
    const error: unknown = await refused.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PostgresUnavailable);
    expect((error as Error).message).toContain('127.0.0.1:1 ');
    expect((error as Error).message).not.toContain('secret');
    expect(retries).toEqual([1, 2]);
  });

  it('gives up at once when the password is wrong or the database unknown', async () => {
    const url = new URL(process.env['BELFRY_TEST_POSTGRES_URL'] as string);
    for (const change of [{ password: 'wrong' }, { pathname: '/nothing_here' }]) {
      const wrong = new URL(url);
      Object.assign(wrong, change);
      await expect(connectPostgres(wrong.href, { timeoutMs: 30_000 })).rejects.toBeInstanceOf(PostgresUnavailable);
    }
  });

  it('tells how far the clocks differ', async () => {
    await using installed = await install();
    const { offsetMs, uncertaintyMs } = await installed.link.skew();
    expect(Math.abs(offsetMs)).toBeLessThan(uncertaintyMs + 2);
    const behind = new PostgresLink(installed.url, { now: () => Date.now() - 60_000 });
    expect((await behind.skew()).offsetMs).toBeGreaterThan(59_000);
    await behind.close();
  });
});
