/** Parts of the surroundings that a machine can be cut off from. */
export const SERVICES = ['inbox', 'work', 'store', 'messages', 'leases'] as const;
export type Service = (typeof SERVICES)[number];
/** What does not get through: its requests, the answers to them, or both. */
export type Direction = 'out' | 'in' | 'both';

interface Cut {
  readonly services: readonly Service[];
  readonly direction: Direction;
}

/**
 * Where processes run, one after another: what cuts it off does not end with a process.
 *
 * M1. It is connected again when all of its cuts have ended.
 */
export class Machine {
  readonly #cuts = new Set<Cut>();

  /** It is cut off until what is returned is called. */
  cut(services: readonly Service[], direction: Direction): () => void {
    const cut = { services, direction };
    this.#cuts.add(cut);
    return () => void this.#cuts.delete(cut); // M1
  }

  isCut(service: Service, direction: Exclude<Direction, 'both'>): boolean {
    if (this.#cuts.size === 0) return false; // nearly always
    for (const cut of this.#cuts)
      if ((cut.direction === direction || cut.direction === 'both') && cut.services.includes(service)) return true;
    return false;
  }
}
