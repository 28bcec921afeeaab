import type { Placement } from '@belfry/ports';
import { LEVELS, LevelTooOld } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { LevelWatch } from './level-watch.ts';

function watchOf(reads: number, installation = { level: 1 }) {
  const logged: string[] = [];
  let tell: (placement: Placement) => void = () => undefined;
  const watch = new LevelWatch({
    reads,
    installationLevel: () => Promise.resolve(installation.level),
    placements: {
      watch: (onPlacement) => {
        tell = onPlacement;
        return Promise.resolve({ stop: () => Promise.resolve() });
      },
    },
    log: { info: () => undefined, warn: () => undefined, error: (message) => void logged.push(message) },
  });
  const placed = (level?: number): void =>
    tell({ term: 1, version: 1, nodes: [], assignment: [], ...(level === undefined ? {} : { level }) });
  return { watch, placed, logged, installation };
}

describe('the level of a process', () => {
  it('is the oldest until a placement says more, and never goes back', async () => {
    const { watch, placed } = watchOf(3);
    await watch.start();
    expect(watch.writes).toBe(LEVELS.oldest);
    placed();
    expect(watch.writes).toBe(LEVELS.oldest);
    placed(2);
    placed(1);
    expect(watch.writes).toBe(2);
    expect(watch.isOutdated).toBe(false);
  });

  it('lets it end, once, when the cluster writes what it does not read', async () => {
    const { watch, placed, logged } = watchOf(1);
    await watch.start();
    placed(2);
    placed(3);
    expect(await watch.outdated).toMatchObject({ code: 'BELFRY_LEVEL_TOO_OLD' });
    expect([watch.isOutdated, watch.writes, logged.length]).toEqual([true, 1, 1]);
  });

  it('does not let it start where more than it reads may have been written', async () => {
    await expect(watchOf(1, { level: 2 }).watch.start()).rejects.toBeInstanceOf(LevelTooOld);
  });

  it('tells what is too new from what is nothing by the installation', async () => {
    const { watch, installation } = watchOf(1);
    await watch.start();
    expect([await watch.isTooNew(), watch.isOutdated]).toEqual([false, false]);
    installation.level = 2;
    expect([await watch.isTooNew(), watch.isOutdated]).toEqual([true, true]);
  });
});
