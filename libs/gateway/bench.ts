/* eslint-disable no-console -- it prints figures */
/**
 * What one created task costs a gateway in CPU, without any transport: `node libs/gateway/bench.ts [seconds per case]`.
 * The inbox takes everything at once; the answers come as one message per append, as a scheduler node sends them.
 */
import { Gateway } from './src/index.ts';

const SHARDS = 256;
const SECONDS = Number(process.argv[2] ?? 1.5);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

let sequence = 0;
let encodedBytes = 0;
const gateway = new Gateway({
  gatewayId: 'bench',
  shards: SHARDS,
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
  log: { info: () => undefined, warn: console.error, error: console.error },
  queries: undefined as never,
  askShard: () => Promise.reject(new Error('unused')),
  ensureConsumer: () => Promise.resolve(),
  publishRejected: () => Promise.resolve({ kind: 'ok', value: undefined }),
  inbox: {
    append: (messages) => {
      const answers: string[] = [];
      for (const { body } of messages) {
        encodedBytes += encoder.encode(body).length; // what the adapter does
        for (const [, correlation] of body.matchAll(/\{"c":(\d+)/g))
          answers.push(`[${correlation},{"ok":true,"status":"created","next":[1790000000000]}]`);
      }
      const reply = encoder.encode(`{"v":1,"a":[${answers.join(',')}]}`);
      setImmediate(() => gateway.onReplies(reply));
      return Promise.resolve({ kind: 'ok', value: messages.map(() => ++sequence) });
    },
  },
});

const filler = 'x'.repeat(160);
const CASES: Record<string, (index: number) => object> = {
  'at, 200 bytes': (n) => ({ at: Date.now() + 60_000 + n, queue: 'q', handler: 'h', payload: { n, filler } }),
  'at (text), key': (n) => ({
    at: '2030-01-01T00:00:00Z',
    queue: 'q',
    handler: 'h',
    key: `key-${n}-${sequence}`,
    payload: { n, filler },
  }),
  every: (n) => ({ every: `${1 + (n % 50)}m`, queue: 'q', handler: 'h', payload: { n, filler } }),
  'cron, labels, retry': (n) => ({
    cron: `${n % 60} 9 * * MON-FRI`,
    timezone: 'Europe/Berlin',
    queue: 'q',
    handler: 'h',
    retry: { attempts: 5 },
    metadata: { team: 'red', n: String(n) },
    payload: { n, filler },
  }),
  'at, 1 KB': (n) => ({ at: Date.now() + 60_000, queue: 'q', handler: 'h', payload: { n, filler: filler.repeat(6) } }),
};

async function measure(
  name: string,
  size: number,
  concurrency: number,
  spec: (index: number) => object,
): Promise<void> {
  const requests = Array.from({ length: 20 }, (_, r) => {
    const items = Array.from({ length: size }, (_, i) => spec(r * size + i));
    return encoder.encode(JSON.stringify(size === 1 ? items[0] : items));
  });
  const reply = decoder.decode(
    encoder.encode(await gateway.handleTasks('acme', 'create', requests[0] as Uint8Array, () => undefined)),
  );
  if (reply.includes('"error"')) throw new Error(reply.slice(0, 300));
  let done = 0;
  const run = async (until: number): Promise<void> => {
    for (let n = 0; performance.now() < until; n++) {
      await gateway.handleTasks('acme', 'create', requests[n % requests.length] as Uint8Array, () => undefined);
      done += size;
    }
  };
  const round = (ms: number): Promise<unknown> => {
    const until = performance.now() + ms;
    return Promise.all(Array.from({ length: concurrency }, () => run(until)));
  };
  await round(300);
  done = 0;
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  await round(SECONDS * 1_000);
  const seconds = (performance.now() - startedMs) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  const label = `${name} · ${size} a request × ${concurrency}`.padEnd(44);
  const perTask = ((user + system) / done).toFixed(2).padStart(6);
  console.log(
    `${label} ${perTask} µs CPU a task  ${Math.round(done / seconds)
      .toLocaleString('en')
      .padStart(8)} tasks/s`,
  );
}

for (const [name, spec] of Object.entries(CASES)) await measure(name, 500, 4, spec);
await measure('at, 200 bytes', 1, 500, CASES['at, 200 bytes'] as (index: number) => object);
console.log(`${(encodedBytes / 1e6).toFixed(0)} MB of envelopes`);
