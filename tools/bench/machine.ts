import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';

/** Where the figures come from. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly natsServer: string;
  readonly postgres: string;
}

/** @param ground servers that run, to ask them for their versions */
export async function describeMachine(ground: {
  versions(): Promise<{ readonly natsServer: string; readonly postgres: string }>;
}): Promise<Machine> {
  const { natsServer, postgres } = await ground.versions();
  return {
    cpu: cpuModel(),
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${distribution() ?? type()}, kernel ${release()}`,
    node: process.version,
    natsServer,
    postgres,
  };
}

function cpuModel(): string {
  const { model = 'unknown', speed = 0 } = cpus()[0] ?? {};
  return speed === 0 || model.includes('Hz') ? model : `${model} at ${(speed / 1_000).toFixed(1)} GHz`;
}

function distribution(): string | undefined {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  } catch {
    return undefined; // not on Linux
  }
}

export function machineText({ cpu, cores, memoryGiB, system, node, natsServer, postgres }: Machine): string {
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB; ${system}; Node ${node}, nats-server ${natsServer}, Postgres ${postgres}`;
}
