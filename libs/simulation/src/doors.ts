import type { GatewayHost } from './gateway-host.ts';
import type { Network } from './network.ts';
import type { Process } from './process.ts';
import type { Random } from './random.ts';

/** The gateways' front doors: a request goes to one of them, the broker says which. */
export class Doors {
  readonly #network: Network;
  readonly #random: Random;
  readonly #open: GatewayHost[] = [];

  constructor(network: Network, random: Random) {
    this.#network = network;
    this.#random = random;
  }

  open(gateway: GatewayHost): void {
    this.#open.push(gateway);
  }

  /** The broker has noticed that a gateway is gone. */
  close(gateway: GatewayHost): void {
    const at = this.#open.indexOf(gateway);
    if (at >= 0) this.#open.splice(at, 1);
  }

  /** The reply, parsed; undefined when none came within `timeoutMs`. */
  request(from: Process, namespace: string, operation: string, body: string, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve) => {
      from.after(timeoutMs, () => resolve(undefined));
      if (this.#open.length === 0) return;
      const gateway = this.#random.pick(this.#open);
      this.#network.send(from, gateway.process, () => {
        void gateway
          .handle(namespace, operation, body)
          .then((reply) => this.#network.send(gateway.process, from, () => resolve(JSON.parse(reply) as unknown)));
      });
    });
  }
}
