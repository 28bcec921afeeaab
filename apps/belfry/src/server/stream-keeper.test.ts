import { afterEach, expect, it, vi } from 'vitest';

import { StreamKeeper } from './stream-keeper.ts';

const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
let keeper: StreamKeeper;
afterEach(() => {
  keeper.stop();
  vi.clearAllMocks();
});

it('says what went with a stream that was deleted, and that it cannot look only once', async () => {
  const rounds = [
    () => Promise.resolve(['the inbox was gone']),
    () => Promise.reject(new Error('Postgres is away')),
    () => Promise.reject(new Error('Postgres is away')),
    () => Promise.resolve([]),
    () => Promise.reject(new Error('NATS is away')),
  ];
  keeper = new StreamKeeper({ remakeStreams: () => (rounds.shift() as () => Promise<string[]>)() }, log);
  for (let round = 0; round < 5; round++) await keeper.look();
  expect(log.error.mock.calls).toEqual([['the inbox was gone']]);
  expect(log.warn.mock.calls.map(([, { error }]) => error as string)).toEqual([
    'Error: Postgres is away',
    'Error: NATS is away',
  ]);
});

it('looks once at a time', async () => {
  const gate = Promise.withResolvers<string[]>();
  const remakeStreams = vi.fn(() => gate.promise);
  keeper = new StreamKeeper({ remakeStreams }, log);
  const first = keeper.look();
  await keeper.look();
  expect(remakeStreams).toHaveBeenCalledOnce();
  gate.resolve([]);
  await first;
});
