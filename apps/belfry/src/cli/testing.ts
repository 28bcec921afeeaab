import type { CreateResult, TaskRef, TaskSpec, TaskView } from '@belfry/protocol';
import { BelfryError, DEFAULT_RETRY, DEFAULT_TIMEOUT_MS, taskIdOfKey, wireError } from '@belfry/protocol';

import type { Cli } from './cli.ts';
import type { CliClient } from './client.ts';
import type { Operators } from './operators.ts';
import { outputTo, plain } from './output.ts';

export const NOW = Date.parse('2026-11-24T14:00:00Z');

/** A client that keeps tasks in memory; what a test doesn't expect to be called, throws. */
export function memoryClient(
  tasks = new Map<string, TaskView>(),
): CliClient & { readonly tasks: Map<string, TaskView> } {
  const idOf = (ref: TaskRef) => ref.id ?? taskIdOfKey('default', ref.key ?? '');
  const found = (ref: TaskRef): TaskView => {
    const task = tasks.get(idOf(ref));
    if (task === undefined) throw new BelfryError(wireError('not_found', 'no task of this id or key'));
    return task;
  };
  const create = (spec: TaskSpec): CreateResult => {
    if (typeof spec.handler !== 'string') return { error: wireError('missing_field', 'is required', 'handler') };
    const id = taskIdOfKey('default', spec.key ?? String(tasks.size));
    const before = tasks.get(id);
    const view = viewOf(id, spec);
    tasks.set(id, view);
    const same = JSON.stringify(before) === JSON.stringify(view);
    const status = before === undefined ? 'created' : same ? 'unchanged' : 'updated';
    return { id, status, created: status === 'created', next: view.next };
  };
  const unexpected = () => Promise.reject(new Error('not expected in this test'));
  return {
    tasks,
    scheduleMany: async (specs) => specs.map(create),
    get: async (ref) => found(ref),
    cancel: async (ref) => {
      const { id } = found(ref);
      tasks.delete(id);
      return { id, status: 'cancelled', running: [] };
    },
    update: async (ref, set) => create({ ...(found(ref) as unknown as TaskSpec), ...set }),
    list: async ({ metadata = {}, limit = 50, cursor = '0' }) => {
      const matching = [...tasks.values()].filter((task) =>
        Object.entries(metadata).every(([name, value]) => task.metadata[name] === value),
      );
      const end = Number(cursor) + limit;
      return {
        items: matching.slice(Number(cursor), end).map(({ payload: _, ...listed }) => listed),
        asOf: new Date(NOW).toISOString(),
        ...(end < matching.length ? { cursor: String(end) } : {}),
      };
    },
    calendars: { set: unexpected, get: unexpected, list: unexpected },
    preview: unexpected,
    forecast: unexpected,
    tzdiff: unexpected,
    history: unexpected,
    trace: unexpected,
    explain: unexpected,
    rejected: unexpected,
    events: () => {
      throw new Error('not expected in this test');
    },
    close: async () => undefined,
  };
}

function viewOf(id: string, spec: TaskSpec): TaskView {
  return {
    id,
    namespace: 'default',
    queue: spec.queue,
    handler: spec.handler,
    priority: spec.priority ?? 'medium',
    retry: { ...DEFAULT_RETRY, ...spec.retry },
    timeoutMs: spec.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    precision: spec.precision ?? 'normal',
    catchUp: spec.catchUp ?? (spec.at === undefined ? 'latest' : 'all'),
    metadata: spec.metadata ?? {},
    payload: spec.payload ?? null,
    state: 'waiting',
    createdAt: new Date(NOW).toISOString(),
    next: [new Date(NOW + 240_000).toISOString()],
    shard: 1,
    ...(spec.key === undefined ? {} : { key: spec.key }),
    ...(spec.at === undefined ? {} : { at: spec.at }),
    ...(spec.every === undefined ? {} : { every: spec.every }),
    ...(spec.cron === undefined ? {} : { cron: spec.cron }),
    ...(spec.timezone === undefined ? {} : { timezone: spec.timezone }),
  };
}

function into(texts: string[]) {
  return {
    write: (text: string, done?: () => void) => {
      texts.push(text);
      done?.();
    },
  };
}

/** A command line of a test: what it printed, and the client it talked with. */
export function testCli<Client extends CliClient>(
  client: Client,
  options: { json?: boolean; stdin?: string; operators?: Operators } = {},
) {
  const printed: string[] = [];
  const noted: string[] = [];
  const cli: Cli = {
    out: outputTo({ columns: 140, ...into(printed) }, into(noted)),
    paint: plain,
    json: options.json ?? false,
    namespace: 'default',
    clock: { utc: true, zone: 'UTC' },
    now: () => NOW,
    natsUrl: () => 'nats://test',
    connect: async () => client,
    operators: async () => options.operators ?? Promise.reject(new Error('not expected in this test')),
    stdin: async () => options.stdin ?? '',
    stdinChunks: async function* () {
      // In pieces, so that lines and characters are torn apart.
      const bytes = Buffer.from(options.stdin ?? '');
      for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
    },
    pour: async (texts) => {
      for await (const text of texts) printed.push(text);
    },
    signal: new AbortController().signal,
  };
  return {
    cli,
    client,
    stdout: () => printed.join(''),
    stderr: () => noted.join(''),
    documents: () =>
      printed
        .join('')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}
