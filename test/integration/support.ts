/** Real weft peers in processes of their own, in homes of their own, and what tests ask of them. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { PeerSilentError } from '../../src/cli/errors.ts'
import { createRemotePeer } from '../../src/cli/peer-remote.ts'
import type { PeerAccess } from '../../src/cli/peer-access.ts'
import type { PeerStatus } from '../../src/peer/index.ts'
import { GREEDY } from '../../src/pipeline/index.ts'
import type { GenerateEvent, GenerateRequest, PlacementFile } from '../../src/pipeline/index.ts'
import { socketPath, systemClock } from '../../src/util/index.ts'

export const BIN: string = fileURLToPath(new URL('../../bin/weft', import.meta.url))
export const TINY: string = fileURLToPath(new URL('../../partitions/weft-tiny/weft-tiny.gguf', import.meta.url))

const clock = systemClock()

export interface RealPeer {
  readonly id: string
  readonly home: string
  readonly pid: number
  readonly http: string | null
  readonly addresses: readonly string[]
  readonly child: ChildProcess
  readonly access: PeerAccess
}

export interface Lab {
  readonly network: string
  home(name: string): string
  /** @param within command that runs it elsewhere, e.g. in a network namespace */
  start(name: string, args?: readonly string[], within?: readonly string[]): Promise<RealPeer>
  /** In a home elsewhere, e.g. on a disk of its own. */
  startIn(name: string, home: string): Promise<RealPeer>
  /** Another program in the place of bin/weft. */
  startProgram(name: string, program: string, args?: readonly string[], within?: readonly string[]): Promise<RealPeer>
  /** With its API where others reach it. @param http HOST:PORT */
  startOnLan(name: string, http: string, within: readonly string[]): Promise<RealPeer>
  /** On another Node than this one. */
  startOn(name: string, node: string, args?: readonly string[]): Promise<RealPeer>
  /** Told nothing but its home: it joins the open mesh of all peers nearby that were told nothing. */
  startBare(name: string, within?: readonly string[]): Promise<RealPeer>
  stop(): Promise<void>
}

/** A network name of its own, so that tests beside this one are another mesh. */
export async function createLab(): Promise<Lab> {
  const root = await mkdtemp(join(tmpdir(), 'weft-lab-'))
  const network = `test-${root.slice(-6)}`
  const peers: RealPeer[] = []
  const home = (name: string): string => join(root, name)
  return {
    network,
    home,
    async start(name, args = [], within = []) {
      const unsaid = [
        ['--threads', '1'],
        ['--http', 'off'],
      ].filter(([option]) => !args.includes(option!))
      const peer = await startPeer(
        home(name),
        ['--name', name, '--network', network, ...unsaid.flat(), ...args],
        within,
      )
      peers.push(peer)
      return peer
    },
    async startIn(name, elsewhere) {
      const args = ['--name', name, '--network', network, '--threads', '1', '--http', 'off']
      const peer = await startPeer(elsewhere, args, [])
      peers.push(peer)
      return peer
    },
    async startProgram(name, program, args = [], within = []) {
      const peer = await startPeer(
        home(name),
        ['--name', name, '--network', network, '--threads', '1', '--http', 'off', ...args],
        within,
        program,
      )
      peers.push(peer)
      return peer
    },
    async startOnLan(name, http, within) {
      const peer = await startPeer(home(name), ['--name', name, '--network', network, '--http', http], within)
      peers.push(peer)
      return peer
    },
    async startOn(name, node, args = []) {
      const more = ['--name', name, '--network', network, '--threads', '1', '--http', 'off', ...args]
      const peer = await startPeer(home(name), more, [], BIN, node)
      peers.push(peer)
      return peer
    },
    async startBare(name, within = []) {
      const peer = await startPeer(home(name), [], within)
      peers.push(peer)
      return peer
    },
    async stop() {
      await Promise.all(peers.map((peer) => endProcess(peer.child)))
      await rm(root, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

async function startPeer(
  home: string,
  args: readonly string[],
  within: readonly string[],
  program = BIN,
  node = process.execPath,
): Promise<RealPeer> {
  const [file, ...rest] = [...within, node, program, 'up', '--json', '--home', home, ...args]
  const child = spawn(file!, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const lines = createInterface({ input: child.stdout })
  const line = await Promise.race([
    once(lines, 'line').then(([text]) => text as string),
    once(child, 'exit').then(() => ''),
  ])
  const ready = (line === '' ? {} : JSON.parse(line)) as {
    schema?: string
    peer: string
    pid: number
    http: string | null
    addresses: string[]
  }
  if (ready.schema !== 'weft.ready/1') throw new Error(`weft up did not start: ${line}${stderr}`)
  // One that ends by itself is seen as a peer that is gone, and nobody would know why.
  child.once('exit', (status) => {
    if ((status ?? 0) !== 0) process.stderr.write(`a peer ended with ${status}: ${stderr.slice(-2000)}\n`)
  })
  const access = createRemotePeer({ clock }, { home, socket: socketPath(home, process.env) })
  return { id: ready.peer, home, pid: ready.pid, http: ready.http, addresses: ready.addresses, child, access }
}

export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  // A stopped process gets no other signal.
  child.kill('SIGCONT')
  child.kill('SIGTERM')
  const cancel = clock.after(10_000, () => child.kill('SIGKILL'))
  await ended
  cancel()
}

/** Waits for something to become so; the test's own deadline is the limit. A peer that is too busy to answer is asked again. */
export async function until(what: string, holds: () => Promise<boolean> | boolean, limit = 40_000): Promise<void> {
  const end = clock.now() + limit
  while (!(await heldBy(holds))) {
    if (clock.now() > end) throw new Error(`it did not come to this: ${what}`)
    await clock.sleep(50)
  }
}

async function heldBy(holds: () => Promise<boolean> | boolean): Promise<boolean> {
  try {
    return await holds()
  } catch (error) {
    if (error instanceof PeerSilentError) return false
    throw error
  }
}

export async function joined(peers: readonly RealPeer[], limit?: number): Promise<void> {
  for (const peer of peers) {
    await until(
      'all peers are connected',
      async () => {
        const { peers: known } = await peer.access.status()
        return peers.every(
          (other) => other === peer || known.some((entry) => entry.id === other.id && entry.state === 'connected'),
        )
      },
      limit,
    )
  }
}

export function placement(model: string, stages: readonly (readonly [RealPeer, number, number])[]): PlacementFile {
  return { model, stages: stages.map(([peer, from, to]) => ({ peer: peer.id, from, to })) }
}

export const THE_WHALE = [960, 1504]

export function greedy(model: string, maxTokens: number, more: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    model,
    input: { kind: 'ids', ids: THE_WHALE },
    sampling: GREEDY,
    maxTokens,
    ignoreEnd: true,
    deadline: 30_000,
    ...more,
  }
}

export interface Answer {
  readonly start: Extract<GenerateEvent, { type: 'start' }> | undefined
  readonly ids: number[]
  readonly route: readonly { readonly peer: string; readonly pid: number; readonly from: number; readonly to: number }[]
  readonly end: Extract<GenerateEvent, { type: 'end' }> | undefined
  /** Of each token, where they were asked for. */
  readonly logprobs: readonly unknown[]
  readonly reroutes: readonly Extract<GenerateEvent, { type: 'reroute' }>[]
  readonly audits: readonly Extract<GenerateEvent, { type: 'audit' }>[]
  /** It said that it waits for somebody to take a stage. */
  readonly waited: boolean
  readonly error: unknown
}

/** All events of a generation; an error does not hide the tokens before it. */
export async function answer(
  peer: RealPeer,
  request: GenerateRequest,
  onToken: (count: number) => void = () => undefined,
  signal?: AbortSignal,
  onEvent: (event: GenerateEvent) => unknown = () => undefined,
): Promise<Answer> {
  const ids: number[] = []
  let route: Answer['route'] = []
  let end: Answer['end']
  let start: Answer['start']
  const reroutes: Extract<GenerateEvent, { type: 'reroute' }>[] = []
  const audits: Extract<GenerateEvent, { type: 'audit' }>[] = []
  let waited = false
  const logprobs: unknown[] = []
  try {
    for await (const event of peer.access.generate(request, signal)) {
      onEvent(event)
      if (event.type === 'start') {
        start = event
        route = event.route
      } else if (event.type === 'end') end = event
      else if (event.type === 'reroute') reroutes.push(event)
      else if (event.type === 'audit') audits.push(event)
      else if (event.type === 'waiting') waited = true
      else if (event.type === 'token') {
        ids.push(event.id)
        logprobs.push(event.top)
        onToken(ids.length)
      }
    }
    return { start, ids, route, end, logprobs, reroutes, audits, waited, error: undefined }
  } catch (error) {
    return { start, ids, route, end, logprobs, reroutes, audits, waited, error }
  }
}

/** A counter of one answer. @throws what ended it */
export function stat({ end, error }: Answer, name: string): number {
  if (end === undefined) throw error
  return end.stats.counters[name] ?? 0
}

export interface Ring {
  /** Origin; it has embedding and head. */
  readonly a: RealPeer
  readonly b: RealPeer
  readonly c: RealPeer
}

/** The embedded model as `tiny`, over three peers of a lab. @param options of the origin */
export async function ringOfTiny(lab: Lab, options: readonly string[] = []): Promise<Ring> {
  const [a, b, c] = await Promise.all([lab.start('a', [...options]), lab.start('b'), lab.start('c')])
  await joined([a, b, c])
  await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
  const stages = placement('tiny', [
    [a, 0, 1],
    [b, 1, 4],
    [c, 4, 7],
    [a, 7, 8],
  ])
  await a.access.deploy('tiny', stages, () => undefined)
  return { a, b, c }
}

/** The process that has a peer's stage ready, as the origin knows it; one that was killed before is not waited for. */
export async function hostOf(origin: RealPeer, peer: RealPeer): Promise<number> {
  let pid = 0
  await until('the peer has a host', async () => {
    const { stages } = await origin.access.status()
    pid = stages.find((stage) => stage.peer === peer.id && stage.state === 'ready')?.pid ?? 0
    return pid > 0 && alive(pid)
  })
  return pid
}

export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error
    ? String(error.code)
    : `not coded: ${String(error)}`
}

export async function counter(peer: RealPeer, name: string): Promise<number> {
  let status: PeerStatus | undefined
  await until('the peer tells its counters', async () => {
    status = await peer.access.status()
    return true
  })
  return status!.counters[name] ?? 0
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
