/**
 * Levels: what may be written while older programs read it (`docs/decisions/0029-levels.md`). A cluster writes at one level: the highest
 * that all of its processes read. It never goes back.
 *
 * 1. As first released.
 * 2. A create record without metadata has no `d`; its envelope is of version 2.
 */
export const LEVELS = { oldest: 1, newest: 2 } as const;

/** Something stored or sent by a newer program than this one. It is no fault of what it says: it waits for a program that can read it. */
export class TooNew extends Error {
  readonly code = 'BELFRY_TOO_NEW';

  constructor(what: string, found: number | string, known: number | string) {
    super(`${what} of version ${found}, and this program reads ${known}: a newer Belfry wrote it`);
    this.name = 'TooNew';
  }
}

/** This program does not read what the installation may hold by now. */
export class LevelTooOld extends Error {
  readonly code = 'BELFRY_LEVEL_TOO_OLD';

  constructor(installation: number, reads: number) {
    super(
      `this installation is at level ${installation}, and this program reads up to ${reads}: it needs a newer Belfry, or one ` +
        'that is not held back by BELFRY_LEVEL. Levels go forward only.',
    );
    this.name = 'LevelTooOld';
  }
}

/** The level that a process reads, from its setting: absent or empty, the newest. @throws RangeError for one that it cannot be held at */
export function readLevel(setting: string | undefined): number {
  if (setting === undefined || setting === '') return LEVELS.newest;
  const level = Number(setting);
  if (Number.isInteger(level) && level >= LEVELS.oldest && level <= LEVELS.newest) return level;
  throw new RangeError(`BELFRY_LEVEL must be ${LEVELS.oldest} to ${LEVELS.newest}, not ${setting}`);
}
