/** Starts `fixtures/peer.ts` and reads what it tells. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { until } from './helpers.ts'

const SCRIPT = fileURLToPath(new URL('./fixtures/peer.ts', import.meta.url))

export interface PeerEvent {
  readonly event: string
  readonly value: unknown
}

export interface PeerProcess {
  readonly process: ChildProcess
  readonly id: string
  readonly addresses: readonly string[]
  readonly events: readonly PeerEvent[]
  /** Ids of the peers it is connected to, as its events say. */
  connected(): readonly string[]
  /** Ends it in order; the exit status. */
  stop(): Promise<number | null>
}

/** @param wrap a command in front, e.g. `ip netns exec HOST` */
export async function startPeer(init: object, wrap: readonly string[] = []): Promise<PeerProcess> {
  const command = [...wrap, process.execPath, SCRIPT, JSON.stringify(init)]
  const child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] })
  const events: PeerEvent[] = []
  createInterface({ input: child.stdout }).on('line', (line) => events.push(JSON.parse(line) as PeerEvent))
  await until(() => events.length > 0 || child.exitCode !== null)
  const ready = events.find((one) => one.event === 'ready')?.value as { id: string; addresses: string[] } | undefined
  if (ready === undefined) throw new Error(`the peer process ended with ${child.exitCode}`)
  return {
    process: child,
    ...ready,
    events,
    connected() {
      const ids = new Set<string>()
      for (const { event, value } of events) {
        if (event === 'connected') ids.add(value as string)
        if (event === 'disconnected') ids.delete((value as { peer: string }).peer)
      }
      return [...ids]
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      const exit = once(child, 'exit')
      child.stdin.end()
      await exit
      return child.exitCode
    },
  }
}
