import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';

/** What stands in the way of running, told so that one can act on it. */
export class SetupError extends Error {}

/** The project's Node: type stripping without a flag, `await using`, typed arrays that grow. */
const NODE_MAJOR = 24;
/** How often a long step without output of its own says that it still goes on. */
const STILL_MS = 10_000;

/**
 * Makes node_modules what package-lock.json says.
 *
 * @param {string} root @param {(line: string) => void} say
 */
export async function ensureDependencies(root, say) {
  const difference = installedDifference(root);
  if (difference === undefined) return;
  say(`Installing dependencies (npm ci): ${difference}`);
  const startedAt = performance.now();
  const { code } = await npm(
    root,
    ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'],
    say,
  );
  if (code !== 0)
    throw new SetupError(
      `npm ci failed (exit code ${code}); what it says is above. Mend that, or run npm ci yourself, and start again.`,
    );
  say(`Dependencies are installed (${Math.round((performance.now() - startedAt) / 1000)} s)`);
}

/**
 * Why node_modules is not what package-lock.json says; undefined if it is. npm writes its own record of what it has
 * installed at the very end of an installation, so an interrupted one has none.
 *
 * @param {string} root
 */
export function installedDifference(root) {
  const wanted = packagesOf(path.join(root, 'package-lock.json'));
  if (wanted === undefined) throw new SetupError('package-lock.json is missing or damaged: is this a whole clone?');
  const installed = packagesOf(path.join(root, 'node_modules', '.package-lock.json'));
  if (installed === undefined) return 'there are none yet';
  for (const [place, entry] of Object.entries(wanted)) {
    if (!place.includes('node_modules/')) continue; // a workspace: it is its link that is installed
    const found = installed[place];
    if (found === undefined && entry.optional === true) continue; // for another platform
    if (found === undefined) return `${place} is missing`;
    if (found.version !== entry.version || (entry.link === true && found.resolved !== entry.resolved))
      return `${place} has changed`;
    if (!existsSync(path.join(root, place))) return `${place} is gone`;
  }
  return undefined;
}

/**
 * @param {string} file
 * @returns {Record<string, { version?: string, resolved?: string, link?: boolean, optional?: boolean }> | undefined}
 */
function packagesOf(file) {
  try {
    /** @type {unknown} */
    const lock = JSON.parse(readFileSync(file, 'utf8'));
    return /** @type {{ packages?: ReturnType<typeof packagesOf> }} */ (lock).packages;
  } catch {
    return undefined;
  }
}

/**
 * The path of the project's Node, from the npm package `node`. That package puts the program in place by an install
 * script; where npm did not run it, we do.
 *
 * @param {string} root @param {(line: string) => void} say
 */
export async function ensureNode(root, say) {
  const link = path.join(root, 'node_modules', '.bin', 'node');
  if (isWantedNode(link)) return link;

  const folder = path.join(root, 'node_modules', 'node');
  const program = path.join(folder, 'bin', 'node');
  if (!isWantedNode(program)) {
    say(`Installing Node ${NODE_MAJOR} for this project (npm did not run the install script of the package "node")`);
    const { code } = await run(process.execPath, ['installArchSpecificPackage.js'], folder, pathWithout(root), say);
    if (code !== 0) say(`The install script of the package "node" failed (exit code ${code})`);
  }
  if (isWantedNode(program) && !isWantedNode(link)) {
    mkdirSync(path.dirname(link), { recursive: true });
    rmSync(link, { force: true });
    symlinkSync(path.relative(path.dirname(link), program), link);
  }
  if (isWantedNode(link)) return link;
  throw new SetupError(
    `Node ${NODE_MAJOR} could not be installed into node_modules. Try: npm rebuild node --ignore-scripts=false`,
  );
}

/** @param {string} program */
function isWantedNode(program) {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return Number(/^v(\d+)\./.exec(stdout ?? '')?.[1]) === NODE_MAJOR;
}

/**
 * The npm that runs us, else the one on PATH.
 *
 * @param {string} root @param {string[]} args @param {(line: string) => void} say
 */
function npm(root, args, say) {
  const running = process.env['npm_execpath'];
  const own =
    running !== undefined && /\.[cm]?js$/.test(running) && /npm/.test(path.basename(running)) && existsSync(running);
  const searchPath = pathWithout(root);
  return own ? run('node', [running, ...args], root, searchPath, say) : run('npm', args, root, searchPath, say);
}

/**
 * PATH without the dependencies' programs: the Node among them goes away while npm replaces node_modules.
 *
 * @param {string} root
 */
function pathWithout(root) {
  const modules = path.join(root, 'node_modules');
  const entries = (process.env['PATH'] ?? '').split(path.delimiter);
  return entries.filter((entry) => !path.resolve(entry).startsWith(modules)).join(path.delimiter);
}

/**
 * @param {string} command @param {string[]} args @param {string} cwd @param {string} searchPath
 * @param {(line: string) => void} say
 * @returns {Promise<{ code: number | string }>}
 */
function run(command, args, cwd, searchPath, say) {
  const startedAt = performance.now();
  const still = setInterval(() => say(`… ${Math.round((performance.now() - startedAt) / 1000)} s`), STILL_MS);
  const child = spawn(command, args, { cwd, stdio: ['ignore', 2, 2], env: { ...process.env, PATH: searchPath } });
  return new Promise((resolve) => {
    const end = (/** @type {number | string} */ code) => {
      clearInterval(still);
      resolve({ code });
    };
    child.once('error', (error) => end(error.message));
    child.once('exit', (code, signal) => end(code ?? signal ?? 'unknown'));
  });
}
