import { type Delivery, type MemoryBroker, MemoryTransport, type Transport } from '../../src/index.js';
import type { Hostile } from './messages.ts';

type Told = (problem: string) => void;

/** The memory transport, with each delivery watched: exactly one end is called, exactly once. */
export class WatchedTransport extends MemoryTransport {
  constructor(
    private readonly shared: MemoryBroker,
    private readonly queue: string,
    private readonly tell: Told,
  ) {
    super(shared);
  }

  override consume(...[options, onDelivery]: Parameters<Transport['consume']>): ReturnType<Transport['consume']> {
    return super.consume(options, (delivery) => {
      let ends = 0;
      for (const end of ['ack', 'retry', 'deadLetter', 'unreadable'] as const) {
        const inner = delivery[end].bind(delivery) as (...args: unknown[]) => Promise<void>;
        Object.assign(delivery, {
          [end]: (...args: unknown[]) => {
            if (++ends > 1) this.tell(`a delivery came to ${ends} ends`);
            return inner(...args);
          },
        } satisfies Partial<Record<keyof Delivery, unknown>>);
      }
      onDelivery(delivery);
    });
  }

  /** Puts bytes into the queue past every check, as another program would. */
  put({ body, headers, direct }: Hostile): void {
    const cqrsId = 'plain';
    this.shared.find(this.queue)!.put({ body, headers, cqrsId, direct, expiresAt: null });
  }
}
