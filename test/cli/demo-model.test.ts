/** Which model `npm start` shows: the wait for the preferred one is bounded, also where the network hangs. */
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { chooseModel } from '../../src/cli/demo/model.ts'
import { createScreen } from '../../src/cli/demo/screen.ts'
import type { CliIo } from '../../src/cli/index.ts'
import type { PeerAccess } from '../../src/cli/peer-access.ts'
import { systemRandom } from '../../src/util/index.ts'
import { virtualClock } from '../mesh/support/virtual-clock.ts'
import type { VirtualClock } from '../mesh/support/virtual-clock.ts'

const INFO = { schema: 'weft.model/1', digest: 'd', blocks: 8, bytes: 6e6, boundary: 'f16', license: 'x' } as const

interface Stage {
  readonly clock: VirtualClock
  readonly asked: string[]
  readonly chosen: Promise<string>
  readonly interrupt: AbortController
  said(): string
}

/** A peer whose registry accepts and then says nothing; the embedded model needs no registry. */
function stage(asked?: string): Stage {
  const clock = virtualClock()
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  let text = ''
  stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const io: CliIo = {
    stdin: new PassThrough(),
    stdout,
    stderr,
    env: {},
    clock,
    random: systemRandom(),
    self: [],
    onSignal: () => () => undefined,
    abort: () => undefined,
  }
  const sources: string[] = []
  const peer = {
    models: () => Promise.resolve([]),
    importModel: ({ source }, _progress, signal) => {
      sources.push(source)
      if (source === 'weft-tiny') return Promise.resolve({ ...INFO, model: source, source: 'bundled' })
      return new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
      })
    },
  } satisfies Pick<PeerAccess, 'models' | 'importModel'>
  const interrupt = new AbortController()
  const chosen = chooseModel(io, createScreen(io), peer as unknown as PeerAccess, asked, interrupt.signal)
  return { clock, asked: sources, chosen, interrupt, said: () => text }
}

describe('the model of npm start', () => {
  test('is the embedded one after the stated wait, no sooner and no later, and that is said', async () => {
    const it = stage()
    await it.clock.advance(59_999)
    expect(it.asked).toEqual(['smollm2:135m'])
    expect(it.said()).toContain('at most 60 s')
    await it.clock.advance(1)
    expect(await it.chosen).toBe('weft-tiny')
    await it.clock.advance(0)
    expect(it.said()).toContain(
      'smollm2:135m is not to be had now (it took longer than 60 s): the embedded model answers',
    )
    expect(it.clock.waiting()).toBe(0)
  })

  test('is waited for without a limit where a person has asked for it, and Ctrl-C ends the wait', async () => {
    for (const asked of ['smollm2:135m', undefined]) {
      const it = stage(asked)
      const refused = expect(it.chosen).rejects.toThrow('enough')
      await it.clock.advance(asked === undefined ? 1_000 : 600_000)
      it.interrupt.abort(new Error('enough'))
      await refused
      expect(it.asked).toEqual(['smollm2:135m'])
      expect(it.clock.waiting()).toBe(0)
    }
  })
})
