import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';

import { startProgram, untilReady, type Program } from '../bench/programs.ts';

const CHUNK_BYTES = 4_096;
const MOUNT = 'mount -t tmpfs -o size="$2" tmpfs "$1" && echo mounted && exec sleep infinity';

/**
 * A disk of a few megabytes for one folder, that can be filled up: a tmpfs in a mount namespace of its own, which any user may make where
 * the kernel allows user namespaces. The programs that shall see it are started through `enter`; it lives as long as its holder.
 */
export class SmallDisk {
  readonly #holder: Program;
  /** The folder, seen from outside of its namespace. */
  readonly #outside: string;

  private constructor(holder: Program, outside: string) {
    this.#holder = holder;
    this.#outside = outside;
  }

  /** Why there cannot be one here; undefined when there can. */
  static obstacle(): string | undefined {
    const { status } = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'true'], { stdio: 'ignore' });
    return status === 0 ? undefined : 'this system lets its users make no mount namespaces';
  }

  static async make(folder: string, bytes: number): Promise<SmallDisk> {
    mkdirSync(folder, { recursive: true });
    const logFile = `${folder}.mount.log`;
    const args = ['--user', '--map-root-user', '--mount', 'sh', '-c', MOUNT, 'sh', folder, String(bytes)];
    const holder = startProgram('unshare', args, { logFile });
    await untilReady(holder, 'a small disk', () => Promise.resolve(readFileSync(logFile, 'utf8').includes('mounted')));
    return new SmallDisk(holder, path.join('/proc', String(holder.pid), 'root', folder));
  }

  /** How a program is started that sees it. */
  enter(command: string, args: readonly string[]): readonly [command: string, args: readonly string[]] {
    const at = ['--target', String(this.#holder.pid), '--user', '--mount', '--preserve-credentials'];
    return ['nsenter', [...at, command, ...args]];
  }

  /** To the last page. */
  fill(): void {
    const file = openSync(this.#ballast, 'a');
    try {
      for (const chunk = Buffer.alloc(CHUNK_BYTES, 1); ;) writeSync(file, chunk);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
  }

  /** Takes away what `fill` has put there. */
  clear(): void {
    if (existsSync(this.#ballast)) rmSync(this.#ballast);
  }

  async stop(): Promise<void> {
    await this.#holder.stop();
  }

  get #ballast(): string {
    return path.join(this.#outside, 'ballast');
  }
}
