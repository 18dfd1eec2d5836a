/** The near end of a circuit: a relay is asked for a peer, and the stream to it becomes a connection. */
import type { Connection, Upgrader } from '@libp2p/interface'
import { CircuitConnection } from './circuit-connection.ts'
import { answerSchema, talkOver } from './circuit-wire.ts'
import { CIRCUIT_WAIT_MS, UPGRADE_WAIT_MS } from './constants.ts'

export interface CircuitTarget {
  /** What is asked of the relay. */
  readonly protocol: string
  readonly peer: string
  /** Of the circuit, with the id of the peer. */
  readonly address: string
}

/** @throws why there is no connection */
export async function circuitTo(
  relay: Connection,
  { protocol, peer, address }: CircuitTarget,
  upgrader: Upgrader,
  signal: AbortSignal,
): Promise<Connection> {
  const options = { signal: AbortSignal.any([signal, AbortSignal.timeout(CIRCUIT_WAIT_MS)]) }
  const stream = await relay.newStream(protocol, options)
  try {
    const talk = talkOver(stream, options.signal)
    await talk.say({ to: peer })
    const { ok, why } = await talk.hear(answerSchema)
    if (!ok) throw new Error(why ?? 'it said no')
    const connection = new CircuitConnection(talk.bytes(), 'outbound', address)
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(UPGRADE_WAIT_MS)])
    return await upgrader.upgradeOutbound(connection, { signal: inTime })
  } catch (error) {
    stream.abort(error as Error)
    throw error
  }
}
