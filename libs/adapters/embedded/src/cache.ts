import { homedir } from 'node:os';
import path from 'node:path';

/** Where what was fetched once is kept: BELFRY_CACHE, else the user's cache folder. */
export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env['BELFRY_CACHE'] !== undefined && env['BELFRY_CACHE'] !== '') return path.resolve(env['BELFRY_CACHE']);
  const base = env['XDG_CACHE_HOME'];
  return path.join(base !== undefined && path.isAbsolute(base) ? base : path.join(homedir(), '.cache'), 'belfry');
}
