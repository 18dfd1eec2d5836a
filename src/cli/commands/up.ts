/** weft up: starts this home's peer and stays until it is asked to stop. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Peer, PeerEvent } from '../../peer/index.ts'
import type { Clock } from '../../util/index.ts'
import type { Command, CommandContext } from '../context.ts'
import { deadlineSignal } from '../deadline.ts'
import { detach } from '../detach.ts'
import { InterruptedError } from '../errors.ts'
import { plural, shortId } from '../format.ts'
import type { InputStream, Signal } from '../io.ts'
import { openMeshNotice, readyDocument, readyLines } from '../ready.ts'
import { homePassphrase } from '../passphrase.ts'
import { printable } from '../text.ts'
import { peerInit } from '../up-options.ts'
import { waiting, whileWaiting } from '../waiting.ts'

/** A start that is told to stop has this long to end in order: it serves nothing yet, and what it writes stands whenever it is ended. */
const START_GRACE_MS = 1_000
/** What is in flight when SIGTERM comes may take this long; systemd kills after 90 s. */
const DRAIN_MS = 30_000

interface StopRequests {
  readonly promise: Promise<void>
  readonly signal: AbortSignal
  name(): Signal | undefined
  status(): number
}

export const command: Command = async (context) => {
  const { io, out, home, flags } = context
  const options = peerInit(context)
  const newHome = !existsSync(join(home, 'keys'))
  if (flags.flag('detach')) return detach(context)
  const passphrase = await homePassphrase(context)
  const init = { ...options, ...(passphrase === undefined ? {} : { passphrase }) }

  const asked = stopRequests(context)
  // One that came before anybody listened for it here.
  context.signal.throwIfAborted()
  const timed = deadlineSignal(context, 'the start of the peer')
  const signal = AbortSignal.any([timed, asked.signal])
  let peer: Peer
  try {
    const wait = waiting(io, out, 'the peer to start', flags.number('timeout'))
    const start = import('../start-peer.ts').then(({ startPeer }) => {
      signal.throwIfAborted()
      return startPeer(context, init, signal)
    })
    peer = await whileWaiting(wait, orGivenUp(start, asked, io.clock))
  } catch (error) {
    if (asked.name() !== undefined) return asked.status()
    throw error
  }
  const stopped = Promise.withResolvers<void>()
  peer.onEvent((event) => {
    if (event.event === 'peer.stopped') stopped.resolve()
    else if (!out.structured) tell(context, peer, event)
  })
  if (asked.name() === undefined) {
    const status = peer.status()
    if (out.structured) out.document(readyDocument(status))
    else out.lines(readyLines(status, out))
    const isOpen = status.peer.lan === 'open' && init.networkKey === undefined && (status.cluster ?? null) === null
    if (newHome && isOpen) for (const line of openMeshNotice()) out.note(line)
  }
  await Promise.race([stopped.promise, asked.promise])
  if (asked.name() !== undefined) await stop(context, peer)
  return asked.status()
}

/** A start has steps that cannot be broken off: compiling, measuring, reading a large home on a busy machine. */
function orGivenUp<Started>(
  start: Promise<Started>,
  { promise, signal }: StopRequests,
  clock: Clock,
): Promise<Started> {
  const late = promise
    .then(() => clock.sleep(START_GRACE_MS))
    .then((): never => {
      throw signal.reason as Error
    })
  // Whichever comes second has nobody who waits for it.
  for (const either of [start, late]) either.catch(() => undefined)
  return Promise.race([start, late])
}

/**
 * SIGTERM is how a peer is meant to end, so its status is 0; the second signal does not wait. With `--while-stdin` the
 * end of standard input is such a signal: it comes however the program on its other side has ended.
 */
function stopRequests(context: CommandContext): StopRequests {
  const controller = new AbortController()
  const { promise, resolve } = Promise.withResolvers<void>()
  let first: Signal | undefined
  const status = (): number => (first === 'SIGINT' ? 130 : 0)
  const stop = (name: Signal): void => {
    first = name
    controller.abort(new InterruptedError(name))
    resolve()
  }
  context.takeSignals((name) => {
    if (first === undefined) stop(name)
    else context.io.abort(status())
  })
  if (context.flags.flag('while-stdin')) whenClosed(context.io.stdin, () => first ?? stop('SIGTERM'))
  return { promise, signal: controller.signal, name: () => first, status }
}

function whenClosed(input: InputStream, action: () => void): void {
  for (const event of ['end', 'close', 'error']) input.once(event, action)
  input.resume()
}

async function stop({ io, out }: CommandContext, peer: Peer): Promise<void> {
  const inFlight = peer.status().requests.length
  out.note(
    inFlight === 0
      ? 'stopping'
      : `stopping when ${plural(inFlight, 'answer')} in flight ${inFlight === 1 ? 'is' : 'are'} finished`,
  )
  await whileWaiting(waiting(io, out, 'answers in flight', DRAIN_MS), peer.stop({ drain: DRAIN_MS }))
}

/** The comings and goings that a person at the terminal wants to see. */
function tell({ out }: CommandContext, peer: Peer, { event, data }: PeerEvent): void {
  const text = TOLD[event]
  if (text === undefined) return
  const field = (name: string): string | undefined => (typeof data[name] === 'string' ? data[name] : undefined)
  const id = field('peer') ?? field('id')
  const known = peer.status().peers.find((other) => other.id === id)?.name
  // one that was never joined has told no name
  const name = [field('name'), known].find((one) => one !== undefined && one !== '')
  const who = name ?? (id === undefined ? (field('address') ?? 'somebody') : shortId(id))
  const [why, code] = [field('why'), field('code')]
  out.note(printable(`${who} ${text}${why === undefined ? '' : `: ${why}`}${code === undefined ? '' : `  ${code}`}`))
}

const TOLD: Readonly<Record<string, string>> = {
  'peer.joined': 'joined',
  'peer.left': 'left',
  'peer.refused': 'was seen and not joined',
  'peer.lied': 'sent a wrong part of a model and is not asked for a while',
  'peer.pending': 'asks to join: weft peers approve or deny says',
}
