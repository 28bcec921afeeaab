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
function peersFolder(): string {
  const given = process.env['BELFRY_CACHE'];
  const base = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache');
  return path.join(
    given === undefined || given === '' ? path.join(base, 'belfry') : path.resolve(given),
    'bench-peers',
  );
}

function installedVersion(folder: string, name: string): string | undefined {
  try {
    const manifest = readFileSync(path.join(folder, 'node_modules', name, 'package.json'), 'utf8');
    return (JSON.parse(manifest) as { version: string }).version;
  } catch {
    return undefined; // not there, or not whole: npm sees to it
  }
}

/**
 * Puts the peers' packages into a folder of their own, outside the workspace, and returns it.
 * @throws Error that says what npm said
 */
export async function installPeers(say: (line: string) => void): Promise<string> {
  const folder = peersFolder();
  const isThere = Object.entries(PEER_PACKAGES).every(([name, version]) => installedVersion(folder, name) === version);
  if (isThere) return folder;
  say(`installing the peers' packages into ${folder}`);
  mkdirSync(folder, { recursive: true });
  const manifest = { name: 'belfry-bench-peers', private: true, dependencies: PEER_PACKAGES };
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
