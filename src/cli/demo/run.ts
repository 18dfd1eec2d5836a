/** The story that `npm start` tells, step by step. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { GREEDY } from '../../pipeline/index.ts'
import type { GenerateEvent, GenerateRequest, RouteHop } from '../../pipeline/index.ts'
import type { PeerStatus } from '../../peer/index.ts'
import { resolveHomePath } from '../../util/index.ts'
import { formatBytes, formatMs, formatRate, plural } from '../format.ts'
import type { CliIo } from '../io.ts'
import { openPeer } from '../peer-access.ts'
import type { PeerAccess } from '../peer-access.ts'
import { printable } from '../text.ts'
import { DemoPeerError } from './errors.ts'
import { chooseModel } from './model.ts'
import { startPeers, stopChildren } from './processes.ts'
import type { DemoPeer } from './processes.ts'
import { createScreen } from './screen.ts'
import type { DemoScreen } from './screen.ts'

export interface DemoOptions {
  readonly model: string | undefined
  readonly peers: number
  readonly prompt: string | undefined
  readonly maxTokens: number
}

const JOIN_DEADLINE_MS = 30_000
const POLL_MS = 50
const CHAT_PROMPT = 'Explain in two sentences why the sky is blue.'
const RAW_PROMPT = 'The captain looked at the sea and said that'

export async function runDemo(io: CliIo, options: DemoOptions, signal: AbortSignal): Promise<void> {
  const screen = createScreen(io)
  const root = join(resolveHomePath(undefined, io.env), 'demo')
  const suffix = Buffer.from(io.random.bytes(4)).toString('hex')
  screen.title(`weft: ${plural(options.peers, 'peer')} on this machine, each a process with a home of its own`)
  const started = io.clock.now()
  const threads = Math.max(1, Math.floor(availableParallelism() / options.peers))
  const peers = await startPeers(io, { root, count: options.peers, network: `demo-${suffix}`, threads }, signal)
  try {
    screen.done(
      `${plural(peers.length, 'peer')} started in ${formatMs(io.clock.now() - started)}, ${plural(threads, 'thread')} a stage`,
    )
    const first = await openPeer(io, peers[0]!.home, { local: 'never', signal })
    await joined(io, screen, first, peers, signal)
    const model = await chooseModel(io, screen, first, options.model, signal)
    await divide(io, screen, first, model, signal)
    await answer(screen, first, model, options, signal)
    if (io.stdout.isTTY === true && !signal.aborted) await stayUp(screen, peers[0]!, model, signal)
  } finally {
    screen.note('stopping')
    await stopChildren(
      io,
      peers.map((peer) => peer.child),
    )
    screen.done(`${plural(peers.length, 'peer')} stopped`)
  }
}

async function joined(
  io: CliIo,
  screen: DemoScreen,
  first: PeerAccess,
  peers: readonly DemoPeer[],
  signal: AbortSignal,
): Promise<void> {
  const started = io.clock.now()
  for (;;) {
    const status = await first.status(signal)
    const connected = status.peers.filter(
      (peer) => peer.state === 'connected' && peers.some(({ id }) => id === peer.id),
    )
    if (connected.length === peers.length - 1) break
    if (io.clock.now() - started > JOIN_DEADLINE_MS)
      throw new DemoPeerError(connected.length + 1, 'the others did not find it')
    await io.clock.sleep(POLL_MS, signal)
  }
  if (peers.length > 1)
    screen.done(`they found each other in ${formatMs(io.clock.now() - started)}, with no address given`)
}

async function divide(
  io: CliIo,
  screen: DemoScreen,
  first: PeerAccess,
  model: string,
  signal: AbortSignal,
): Promise<void> {
  const started = io.clock.now()
  await first.deploy(model, 'spread', (progress) => screen.progress(progress), signal)
  screen.done(`${model} divided between them and loaded in ${formatMs(io.clock.now() - started)}`)
  const status = await settled(io, first, model, signal)
  const blocks = status.models.find((entry) => entry.model === model)?.blocks ?? 0
  screen.note('')
  for (const line of holdings(status, model, blocks)) screen.note(line)
  screen.note('')
}

/** The memory of each stage host is read every two seconds. */
async function settled(io: CliIo, first: PeerAccess, model: string, signal: AbortSignal): Promise<PeerStatus> {
  const until = io.clock.now() + 4_000
  for (;;) {
    const status = await first.status(signal)
    const stages = status.stages.filter((stage) => stage.model === model)
    if (stages.every((stage) => stage.memory > 0) || io.clock.now() > until) return status
    await io.clock.sleep(POLL_MS, signal)
  }
}

function holdings(status: PeerStatus, model: string, blocks: number): string[] {
  const names = new Map([
    [status.peer.id, status.peer.name],
    // The homes remember peers of earlier runs that had more of them.
    ...status.peers.filter((peer) => peer.state === 'connected').map((peer) => [peer.id, peer.name] as const),
  ])
  const rows = [...names].map(([id, name]) => {
    const stages = status.stages.filter((stage) => stage.model === model && stage.peer === id)
    const ranges = stages.toSorted((a, b) => a.from - b.from).map((stage) => `[${stage.from}, ${stage.to})`)
    return [
      printable(name),
      ranges.join(' '),
      stages[0] === undefined ? '-' : formatBytes(stages[0].memory),
      `${stages[0]?.pid ?? '-'}`,
    ]
  })
  return table([['PEER', `BLOCKS OF ${blocks}`, 'MEMORY', 'PROCESS'], ...rows])
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
}

async function answer(
  screen: DemoScreen,
  first: PeerAccess,
  model: string,
  options: DemoOptions,
  signal: AbortSignal,
): Promise<void> {
  const chat = /instruct|smollm2/i.test(model)
  const prompt = options.prompt ?? (chat ? CHAT_PROMPT : RAW_PROMPT)
  const request: GenerateRequest = {
    model,
    input: chat ? { kind: 'chat', messages: [{ role: 'user', content: prompt }] } : { kind: 'text', text: prompt },
    // The embedded model is small: a little chance keeps it from repeating itself. The seed keeps the answer the same.
    sampling: chat ? GREEDY : { ...GREEDY, temperature: 0.7, topP: 0.9, repetitionPenalty: 1.1, seed: 7 },
    maxTokens: options.maxTokens,
  }
  screen.out.line(`${screen.out.paint('bold', '>')} ${printable(prompt)}`)
  let route: readonly RouteHop[] = []
  let end: Extract<GenerateEvent, { type: 'end' }> | undefined
  for await (const event of first.generate(request, signal)) {
    if (event.type === 'start') route = event.route
    else if (event.type === 'token') screen.out.write(printable(event.text, true))
    else if (event.type === 'end') end = event
  }
  screen.out.line('\n')
  const status = await first.status(signal)
  const names = new Map([
    [status.peer.id, status.peer.name],
    ...status.peers.map((peer) => [peer.id, peer.name] as const),
  ])
  screen.note(`route  ${route.map((hop) => `${names.get(hop.peer) ?? hop.peer}[${hop.from}:${hop.to}]`).join(' -> ')}`)
  if (end === undefined) return
  const { stats } = end
  screen.note(
    `speed  ${formatRate(stats.tokens_per_second)} · first token ${formatMs(stats.time_to_first_token_ms)} · ` +
      `${formatMs(stats.hop_ms_p50)} a hop beside computing`,
  )
  screen.note(
    `${plural(stats.decode_tokens, 'token')} after ${stats.prefill_tokens} of prompt; each hop passed rows straight to the next`,
  )
}

function stayUp(screen: DemoScreen, peer: DemoPeer, model: string, signal: AbortSignal): Promise<void> {
  screen.note('')
  screen.note(`API        ${peer.http ?? 'off'}/v1   model "${model}", no key needed on this machine`)
  screen.note(`dashboard  ${peer.http ?? 'off'}/`)
  screen.note(`shell      WEFT_HOME=${peer.home} ./bin/weft chat ${model}`)
  screen.note('Ctrl-C stops all of them')
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
