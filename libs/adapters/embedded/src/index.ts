export { startEmbedded } from './embedded.ts';
export type { EmbeddedOptions, EmbeddedServers } from './embedded.ts';
export type { ServerExit } from './server-process.ts';
export { readDevFile, removeDevFile, writeDevFile } from './dev-file.ts';
export type { DevFile } from './dev-file.ts';
export { EMBEDDED_ERROR_CODES, EmbeddedError } from './errors.ts';
export type { EmbeddedErrorCode } from './errors.ts';
