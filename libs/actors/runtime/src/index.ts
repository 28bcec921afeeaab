export { ActorCell, type ActorOptions } from './actor-cell.ts';
export type { Messenger } from './messenger.ts';
