export { ActorCell, type ActorOptions } from './actor-cell.ts';
export type { Messenger } from './messenger.ts';
export { SYSTEM_TIMERS, type Timers } from './timers.ts';
