import { withSql } from '@belfry/adapter-embedded/testing';
import type { ActiveRow, CalendarRow, HistoryRow, LoadedTask, ShardDelta, TaskRow } from '@belfry/ports';
import { describe, expect, it } from 'vitest';

import { GOLDEN_ROWS } from './golden-rows.ts';
import { execution, install, SHARDS, T0, task, value, type Installed } from './test-support.ts';

const ID = '14d2a0b81dfb8d37be4046474bc8e284';
const BARE = '6df2878f718a8a02b06b7d011ea3b596';
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const TABLES = [
  'target',
  'route',
  'task',
  'pointer',
  'active',
  'execution',
  'command',
  'calendar',
  'life',
  'unwatched',
];

const bare = task({ id: BARE, schedule: `a${T0 + 60_000}` });
const whole: TaskRow = {
  ...task({ id: ID, schedule: 'e300000', createdAt: T0 + 1, handler: 'print' }),
  effectiveFrom: T0 + 2,
  key: 'order-17',
  traceparent: TRACE,
  metadata: '{"tenant":"a"}',
  payload: JSON.stringify('long '.repeat(400)),
};
const active: ActiveRow = {
  task: ID,
  scheduledAt: T0 + 300_000,
  attempt: 2,
  state: 'retrying',
  retryAt: T0 + 301_000,
  dispatchedAt: T0 + 300_001,
  lost: 1,
  failures: 1,
  attempts: '[[1,"lost"]]',
  target: whole.target,
  traceparent: TRACE,
};
const dispatched: ActiveRow = {
  ...{ task: BARE, scheduledAt: T0 + 60_000, attempt: 1, state: 'dispatched', retryAt: undefined },
  ...{ dispatchedAt: T0 + 60_001, lost: 0, failures: 0, attempts: '[]', target: undefined, traceparent: undefined },
};
const states = ['succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'dead', 'skipped'] as const;
const history = states.map((state, at): HistoryRow => execution(bare, { state, scheduledAt: T0 + at }));
const calendar: CalendarRow = {
  namespace: 'acme',
  name: 'holidays',
  version: 7,
  definition: '{"exclude":[]}',
  setAt: T0,
};
const kinds = ['rescheduled', 'cancelled', 'finished'] as const;
const counters = { fired: 9, finished: 7, dead: 1, failed: 1, cancelled: 1, skipped: 2, withdrawn: 3, missed: 0 };

/** A bit of everything, of two shards that are stored as one. */
function delta(epoch: number): ShardDelta {
  return {
    shard: 3,
    epoch,
    takenAt: T0 + 9,
    seq: 17,
    watermark: T0 + 300_000,
    deletes: [],
    inserts: [bare, whole],
    patches: [{ id: BARE, ended: { state: 'cancelled', at: T0 + 70_000 } }],
    pointers: [{ task: ID, next: T0 + 600_000 }],
    active: [dispatched, active],
    activeDone: [],
    calendars: [calendar],
    history,
    life: kinds.map((kind, at) => ({
      task: ID,
      namespace: 'acme',
      kind,
      at: T0 + at,
      schedule: 'e60000',
      createdAt: T0,
    })),
    unwatched: [{ fromMs: T0, untilMs: T0 + 1, foundMs: T0 + 2 }],
    commands: [{ hash: 7_034_741_547_579_086, at: T0 }],
    forgetCommandsBefore: T0 - 1,
    counters,
    gaps: [[T0, T0 + 1]],
  };
}

type Rows = Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;

async function stored({ url }: Installed): Promise<Rows> {
  return await withSql(url, async (query) => {
    const tables: Record<string, Record<string, unknown>[]> = {};
    for (const table of [...TABLES, 'shard']) {
      const only = table === 'shard' ? 'WHERE shard = 3' : '';
      const rows = await query(`SELECT to_jsonb(t) AS row FROM belfry.${table} t ${only} ORDER BY to_jsonb(t)::text`);
      tables[table] = rows.map(({ row }) => row as Record<string, unknown>);
    }
    return tables;
  });
}

/** Puts rows as they were written then into the tables as they are now. */
async function put({ url }: Installed, rows: Rows): Promise<void> {
  await withSql(url, async (query) => {
    await query('DELETE FROM belfry.shard WHERE shard = 3');
    for (const [table, some] of Object.entries(rows)) {
      const columns = Object.keys(some[0] ?? {}).join(', ');
      const overriding = table === 'target' || table === 'route' ? 'OVERRIDING SYSTEM VALUE' : '';
      await query(
        `INSERT INTO belfry.${table} (${columns}) ${overriding}
         SELECT ${columns} FROM jsonb_populate_recordset(null::belfry.${table}, $1)`,
        [JSON.stringify(some)],
      );
    }
  });
}

describe('rows', () => {
  it('are written as they always were: what is added has a default', async () => {
    await using installed = await install();
    const { checkpoints } = installed.link;
    const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
    value(
      await checkpoints.takeEpochs(
        shards,
        'n1',
        shards.map(() => 0),
      ),
    );
    value(await checkpoints.commit([delta(1)], 'golden'));
    const rows = await stored(installed);
    for (const [table, some] of Object.entries<Rows[string]>(GOLDEN_ROWS[1])) {
      // What packs a payload best is Node's to say; a head's instant is the latest of two, and here the installation's.
      const varies = table === 'shard' ? 'checkpointed_at' : 'payload_packed';
      const expected = some.map(({ [varies]: _, ...row }) => expect.objectContaining(row) as unknown);
      expect(rows[table], table).toEqual(expected);
    }
  });

  it.each(Object.entries(GOLDEN_ROWS))('of level %s are read for ever', async (_level, rows) => {
    await using installed = await install();
    await put(installed, rows);
    const { checkpoints } = installed.link;
    const [head] = value(await checkpoints.takeEpochs([3], 'n2', [0]));
    expect(head).toEqual({ shard: 3, epoch: 2, seq: 17, watermark: T0 + 300_000, counters, gaps: [[T0, T0 + 1]] });
    const loaded = { active: [] as ActiveRow[], commands: [] as unknown[], calendars: [] as CalendarRow[] };
    const tasks: LoadedTask[] = [];
    const done = await checkpoints.load(
      [3],
      (_shard, some) => void loaded.active.push(...some),
      (_shard, some) => void loaded.commands.push(...some),
      (_shard, some) => void loaded.calendars.push(...some),
      (_shard, some) => void tasks.push(...some),
    );
    expect(done.kind).toBe('ok');
    expect(loaded.active.toSorted((a, b) => a.scheduledAt - b.scheduledAt)).toEqual([dispatched, active]);
    expect([loaded.commands, loaded.calendars]).toEqual([delta(1).commands, [calendar]]);
    const [hash, none] = [
      [1, 2, 3, 4],
      [0, 0, 0, 0],
    ];
    expect(tasks.toSorted((a, b) => a.createdAt - b.createdAt)).toEqual([
      {
        ...{ bodyHash: none, id: BARE, schedule: bare.schedule, target: bare.target, keyed: false, pointer: undefined },
        ...{ createdAt: T0, effectiveFrom: T0, ended: { state: 'cancelled', at: T0 + 70_000 } },
      },
      {
        ...{
          bodyHash: hash,
          id: ID,
          schedule: whole.schedule,
          target: whole.target,
          keyed: true,
          pointer: T0 + 600_000,
        },
        ...{ createdAt: T0 + 1, effectiveFrom: T0 + 2, ended: undefined },
      },
    ]);
    const bodies = value(await checkpoints.bodies([ID, BARE].map((id) => ({ shard: 3, id }))));
    const { payload, metadata, key, traceparent } = whole;
    expect(bodies.get(ID)).toEqual({ payload, metadata, key, traceparent, createdAt: T0 + 1 });
    expect(bodies.get(BARE)).toMatchObject({ payload: 'null', metadata: '{}', key: undefined });
  });

  it('of a later level than this program knows are told as such', async () => {
    await using installed = await install();
    await put(installed, { ...GOLDEN_ROWS[1], active: [{ ...GOLDEN_ROWS[1].active[0], state: 'z' }] });
    const nothing = (): void => undefined;
    await expect(installed.link.checkpoints.load([3], nothing, nothing, nothing, nothing)).rejects.toMatchObject({
      code: 'BELFRY_TOO_NEW',
    });
  });
});
