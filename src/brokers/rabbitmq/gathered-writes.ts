import type { Socket } from 'node:net';

/**
 * Lets what is written to a socket within one turn of the event loop leave together, in one system call. amqplib writes
 * each message by itself, which took half of the processor time of publishing.
 */
export function gatherWrites(socket: Pick<Socket, 'cork' | 'uncork' | 'write'>): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  let gathering = false;
  const leave = (): void => {
    gathering = false;
    socket.uncork();
  };
  socket.write = (...args: unknown[]) => {
    if (!gathering) {
      gathering = true;
      socket.cork();
      process.nextTick(leave);
    }
    return write(...args);
  };
}
