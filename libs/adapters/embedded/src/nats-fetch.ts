import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { debianMirrors } from './apt-sources.ts';
import { EmbeddedError } from './errors.ts';

/** The suite whose nats-server is new enough; its binary needs nothing of the suite it comes from. */
const SUITE = 'testing';
const KEYRINGS = ['/usr/share/keyrings/debian-archive-keyring.gpg', '/usr/share/keyrings/debian-archive-keyring.pgp'];
/** The first start has two minutes in all. */
const APT_TIMEOUT_MS = 80_000;

/**
 * Gets nats-server from Debian testing's archive, signatures checked, and puts it at `destination`. apt gets a
 * configuration and state of its own, so neither root nor the system's package lists are needed or touched. Works
 * aside and renames at the end: several at once do the same work, and the last one wins.
 */
export async function fetchNatsServer(destination: string, otherwise: string): Promise<void> {
  const mirrors = debianMirrors('/etc/apt', readIfThere('/etc/os-release'));
  const keyring = KEYRINGS.find((file) => existsSync(file));
  if (mirrors.length === 0 || keyring === undefined) {
    throw new EmbeddedError(
      'nats_missing',
      `There is no nats-server here, and this is not a Debian with apt sources to fetch one from.\n${otherwise}`,
    );
  }
  mkdirSync(path.dirname(destination), { recursive: true });
  const work = mkdtempSync(path.join(path.dirname(destination), 'fetch-'));
  try {
    let failure: unknown;
    for (const mirror of mirrors) {
      try {
        const binary = await fetchFrom(mirror, keyring, work);
        chmodSync(binary, 0o755);
        renameSync(binary, destination);
        return;
      } catch (error) {
        failure = error;
      }
    }
    throw new EmbeddedError(
      'nats_fetch_failed',
      `Fetching nats-server did not work: ${describe(failure)}\n${otherwise}`,
      { cause: failure },
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function fetchFrom(mirror: string, keyring: string, work: string): Promise<string> {
  for (const folder of ['lists/partial', 'cache/archives/partial', 'out'])
    mkdirSync(path.join(work, folder), { recursive: true });
  writeFileSync(path.join(work, 'status'), '');
  writeFileSync(path.join(work, 'sources.list'), `deb [signed-by=${keyring}] ${mirror} ${SUITE} main\n`);
  writeFileSync(path.join(work, 'apt.conf'), aptConfiguration(work));
  const run = async (program: string, args: readonly string[]): Promise<void> => {
    await promisify(execFile)(program, args, {
      cwd: path.join(work, 'out'),
      timeout: APT_TIMEOUT_MS,
      env: { ...process.env, LC_ALL: 'C' },
    });
  };
  const apt = ['-q', '-c', path.join(work, 'apt.conf')];
  await run('apt-get', [...apt, 'update']);
  await run('apt-get', [...apt, 'download', 'nats-server']);
  const archive = readdirSync(path.join(work, 'out')).find((name) => name.endsWith('.deb'));
  if (archive === undefined) throw new Error('apt-get download gave no package');
  await run('dpkg-deb', ['-x', archive, 'unpacked']);
  return path.join(work, 'out', 'unpacked', 'usr', 'sbin', 'nats-server');
}

/** Read after the system's own configuration (proxies and credentials stay), and takes back what would touch the system. */
function aptConfiguration(work: string): string {
  return `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets;
Acquire::IndexTargets::deb::Packages { MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages"; flatMetaKey "Packages"; ShortDescription "Packages"; Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages"; Optional "false"; };
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Sandbox::User "root";
Dir::State "${work}";
Dir::State::lists "${work}/lists";
Dir::State::status "${work}/status";
Dir::Cache "${work}/cache";
Dir::Cache::archives "${work}/cache/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "${work}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
`;
}

function readIfThere(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

/** What a failed program said, without its warnings. */
function describe(error: unknown): string {
  if (error instanceof Error && 'stderr' in error && typeof error.stderr === 'string') {
    const lines = error.stderr.split('\n').filter((line) => line.startsWith('E:') || line.startsWith('dpkg'));
    if (lines.length > 0) return lines.join('\n');
  }
  return error instanceof Error ? error.message : String(error);
}
