import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { welcome, type Welcome } from './welcome.ts';

const USUAL: Welcome = {
  ...{ dataDir: '.belfry', namespace: 'default', worker: true, allowShell: false, seconds: '3.1' },
  ...{ ports: { nats: 4_222, postgres: 5_432 }, httpPort: 7_070 },
};

const commands = (flags: Partial<Welcome>): string[] => {
  const [, after = ''] = welcome({ ...USUAL, ...flags }).split('terminal:\n\n');
  return (after.split('\n\n')[0] ?? '').split('\n').map((line) => line.trim());
};

describe('what `belfry dev` says when it is ready', () => {
  it('tells where everything listens', () => {
    const text = welcome({ ...USUAL, ports: { postgres: 5_432 } });
    expect(text).toContain(
      'NATS       as given\n  Postgres   127.0.0.1:5432\n  Health     http://127.0.0.1:7070/healthz',
    );
    expect(text).toContain(`credentials: ${path.join('.belfry', 'dev.json')}`);
  });

  it('has three commands', () => {
    expect(commands({})).toEqual([
      `npm run belfry -- schedule --in 5s --handler echo --payload '{"hello":"world"}'`,
      'npm run belfry -- schedule --every 10s --handler echo --key my-first-interval',
      'npm run belfry -- history',
    ]);
  });

  it('has them as they work in another namespace, with another folder, without a worker', () => {
    expect(commands({ namespace: 'shop' }).map((line) => line.endsWith(' --namespace shop'))).toEqual([
      ...[true, true, true],
    ]);
    expect(commands({ dataDir: '/data/belfry' })[0]).toBe(
      `export BELFRY_NATS_URL=$(node -p "require('/data/belfry/dev.json').natsUrl")`,
    );
    expect(commands({ dataDir: path.resolve('..', '.belfry') })).toHaveLength(3);
    expect(commands({ worker: false })[0]).toMatch(/^npm run belfry -- worker /);
  });
});
