import { isName, isObject, LEVELS, LIMITS, ROLES, type ProcessHeartbeat, type Role } from '@belfry/protocol';

/** Silence after which a process is no longer shown. */
const FORGET_MS = 10_000;

interface KnownProcess {
  readonly beat: ProcessHeartbeat;
  readonly seenAt: number;
}

/**
 * The processes of a cluster, whatever their roles, by what each tells of itself. `nowMs` is monotonic.
 *
 * P1. At most `LIMITS.processes`; each counts until `FORGET_MS` after its last word.
 */
export class ProcessTable {
  readonly #processes = new Map<string, KnownProcess>();

  /** Undefined when it is no such heartbeat. */
  heard(body: Uint8Array, nowMs: number): ProcessHeartbeat | undefined {
    const beat = readProcessHeartbeat(body);
    if (beat === undefined) return undefined;
    if (!this.#processes.has(beat.node) && this.#processes.size >= LIMITS.processes) this.#forget(nowMs); // P1
    if (this.#processes.has(beat.node) || this.#processes.size < LIMITS.processes)
      this.#processes.set(beat.node, { beat, seenAt: nowMs });
    return beat;
  }

  has(node: string): boolean {
    return this.#processes.has(node);
  }

  /** In the order of their names. */
  list(nowMs: number): { readonly beat: ProcessHeartbeat; readonly silentMs: number }[] {
    this.#forget(nowMs);
    return [...this.#processes.values()]
      .map(({ beat, seenAt }) => ({ beat, silentMs: Math.round(nowMs - seenAt) }))
      .toSorted((a, b) => (a.beat.node < b.beat.node ? -1 : 1));
  }

  #forget(nowMs: number): void {
    for (const [node, { seenAt }] of this.#processes) if (nowMs - seenAt > FORGET_MS) this.#processes.delete(node);
  }
}

/** What a later version adds is passed over. */
export function readProcessHeartbeat(body: Uint8Array): ProcessHeartbeat | undefined {
  let beat: unknown;
  try {
    beat = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
  if (!isObject(beat) || beat['v'] !== 1 || !isName(beat['node']) || !Array.isArray(beat['roles'])) return undefined;
  const { clock, level = LEVELS.oldest, roles, pid, machine } = beat;
  if (!Number.isSafeInteger(level)) return undefined;
  if (!isObject(clock) || !Number.isSafeInteger(pid) || typeof machine !== 'string') return undefined;
  const known = roles.filter((role): role is Role => (ROLES as readonly unknown[]).includes(role));
  return { ...(beat as unknown as ProcessHeartbeat), roles: known };
}
