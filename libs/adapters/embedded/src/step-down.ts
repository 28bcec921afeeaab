import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import path from 'node:path';

import { EmbeddedError } from './errors.ts';

export interface User {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Who Postgres runs as: undefined means as ourselves. Postgres refuses to run as root, so root steps down: to the
 * owner of the data if there is some already, else to `nobody`.
 */
export function postgresUser(existingData: string): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  if (process.platform !== 'linux') {
    throw new EmbeddedError('cannot_step_down', 'Postgres refuses to run as root; run Belfry as a normal user');
  }
  const owner = statSync(existingData, { throwIfNoEntry: false });
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  return { uid: idOf('-u'), gid: idOf('-g') };
}

function idOf(flag: '-u' | '-g'): number {
  try {
    const id = Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
    if (Number.isInteger(id) && id > 0) return id;
  } catch {
    // Said below.
  }
  throw new EmbeddedError(
    'cannot_step_down',
    'Postgres refuses to run as root, and this system has no user nobody to run it as; run Belfry as a normal user',
  );
}

/** Whether `user` (undefined: ourselves) may pass through every directory above `target` and read or list it. */
export function canReach(target: string, user: User | undefined): boolean {
  if (user === undefined) return true;
  for (let at = target; ; at = path.dirname(at)) {
    const info = statSync(at, { throwIfNoEntry: false });
    if (info === undefined) return false;
    const wanted = at === target ? 0o5 : 0o1;
    const shift = info.uid === user.uid ? 6 : info.gid === user.gid ? 3 : 0;
    if (((info.mode >> shift) & wanted) !== wanted) return false;
    if (at === path.dirname(at)) return true;
  }
}
