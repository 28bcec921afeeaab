import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * A name for what this process's pid is a number in: this machine, since it was started, and on Linux the namespace of processes, so
 * that a container is not taken for its host. Two processes that have the same one can signal each other by pid.
 */
export function machineId(): string {
  const parts = [hostname(), process.platform, ...linuxParts()];
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);
}

function linuxParts(): string[] {
  if (process.platform !== 'linux') return [];
  try {
    return [readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), readlinkSync('/proc/self/ns/pid')];
  } catch {
    return [];
  }
}
