/**
 * What is said on a stream before it carries a circuit: one question, one answer, each a control map with its length
 * before it. `to`: the dialler asks a relay for a peer; `from`: the relay tells that peer who it is, and `newcomer` that
 * it has not greeted the relay, which knows no more of it than its id.
 */
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { z } from 'zod'
import { CIRCUIT_WAIT_MS, MAX_CIRCUIT_MESSAGE } from './constants.ts'
import { decodeControl, encodeControl } from './control.ts'

export const CIRCUIT_PROTOCOL = '/weft/circuit/1'
/** The same talk with a relay, of one that has not greeted it: to an admin alone, to hand in an invite. */
export const KNOCK_PROTOCOL = '/weft/knock/1'

const peerId = z.string().regex(/^[1-9A-HJ-NP-Za-km-z]{40,60}$/)

export const knockSchema = z.object({ to: peerId })
export const questionSchema = z.union([knockSchema, z.object({ from: peerId, newcomer: z.boolean().nullish() })])
export const answerSchema = z.object({ ok: z.boolean(), why: z.string().max(128).nullish() })

/** This machine, no machine, many machines: nobody is seen there, and nobody is to be sent there. */
const NOBODYS = /^(0|127|22[4-9]|2[3-5]\d)\./

/** A peer's own address as others see it, behind its translator. IPv4: what needs a hole is seldom anything else. */
export const outerSchema = z.object({
  host: z.ipv4().refine((host) => !NOBODYS.test(host)),
  port: z.int().min(1).max(65_535),
})
export type Outer = z.infer<typeof outerSchema>

/** What a relay says to the far end. */
export type CircuitArrival = Extract<z.infer<typeof questionSchema>, { from: string }>
export type CircuitAnswer = z.infer<typeof answerSchema>

export interface CircuitTalk {
  /** @throws what the stream or the schema says, or when nothing comes in time */
  hear<T>(schema: z.ZodType<T>): Promise<T>
  say(message: z.infer<typeof questionSchema> | CircuitAnswer | Outer): Promise<void>
  /** The stream as it is after the talk: what follows is the circuit's. */
  bytes(): Stream
}

export function talkOver(stream: Stream, signal = AbortSignal.timeout(CIRCUIT_WAIT_MS)): CircuitTalk {
  const messages = lpStream(stream, { maxDataLength: MAX_CIRCUIT_MESSAGE })
  // a stream that ends while it is waited for rejects with an event in place of an error
  const inOrder = <T>(step: Promise<T>): Promise<T> =>
    step.catch((reason: unknown) => {
      throw reason instanceof Error ? reason : new Error('the stream has ended')
    })
  return {
    hear: async (schema) => schema.parse(decodeControl((await inOrder(messages.read({ signal }))).subarray())),
    say: (message) => inOrder(messages.write(encodeControl(message), { signal })),
    bytes: () => messages.unwrap(),
  }
}
