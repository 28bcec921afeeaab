import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

/** The versions that are compared. ioredis: the one that this bullmq is developed with. */
export const PEER_PACKAGES = {
  bullmq: '6.7.0',
  'graphile-worker': '0.18.0',
  ioredis: '5.11.1',
  'pg-boss': '12.38.0',
} as const;

/** Next to what else was fetched once: BELFRY_CACHE, else the user's cache folder. */
function cacheFolder(name: string): string {
  const given = process.env['BELFRY_CACHE'];
  const base = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache');
  return path.join(given === undefined || given === '' ? path.join(base, 'belfry') : path.resolve(given), name);
}

function installedVersion(folder: string, name: string): string | undefined {
  try {
    const manifest = readFileSync(path.join(folder, 'node_modules', name, 'package.json'), 'utf8');
    return (JSON.parse(manifest) as { version: string }).version;
  } catch {
    return undefined; // not there, or not whole: npm sees to it
  }
}

/** Puts the peers' packages into a folder of their own, and returns it. @throws Error that says what npm said */
export function installPeers(say: (line: string) => void): Promise<string> {
  return installPackages('bench-peers', PEER_PACKAGES, say);
}

/**
 * Puts packages into a folder of the cache, outside the workspace, and returns it.
 * @throws Error that says what npm said
 */
export async function installPackages(
  name: string,
  packages: Readonly<Record<string, string>>,
  say: (line: string) => void,
): Promise<string> {
  const folder = cacheFolder(name);
  const isThere = Object.entries(packages).every(([one, version]) => installedVersion(folder, one) === version);
  if (isThere) return folder;
  say(`installing ${Object.keys(packages).join(', ')} into ${folder}`);
  mkdirSync(folder, { recursive: true });
  const manifest = { name: `belfry-${name}`, private: true, dependencies: packages };
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await npmInstall(folder);
  return folder;
}

function npmInstall(folder: string): Promise<void> {
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const child = spawn('npm', ['install', ...flags], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const keep = (chunk: Buffer): void => void (said = (said + chunk.toString('utf8')).slice(-2_000));
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`npm cannot be run: ${error.message}`)));
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`npm install failed in ${folder} (exit code ${code}): ${said.trim()}`));
    });
  });
}
