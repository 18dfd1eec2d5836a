/** Likelihoods of prompts over the API (`echo` with `logprobs`), over real peers: the bits that decoding gives. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GenerateEvent } from '../../src/pipeline/index.ts'
import { answer, counter, createLab, greedy, joined, placement, TINY, until } from './support.ts'
import type { Lab, RealPeer } from './support.ts'

const FOLDER = new URL('../../partitions/weft-tiny/', import.meta.url)
const NATS = 0.02

interface Completion {
  readonly choices: readonly {
    readonly text: string
    readonly finish_reason: string | null
    readonly logprobs: {
      readonly tokens: readonly string[]
      readonly token_logprobs: readonly (number | null)[]
      readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[] | null
      readonly text_offset: readonly number[]
    } | null
  }[]
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number }
}

describe('the likelihood of a prompt', () => {
  let lab: Lab
  let a: RealPeer
  let b: RealPeer
  let c: RealPeer

  beforeAll(async () => {
    lab = await createLab()
    const open = ['--http', '127.0.0.1:0']
    ;[a, b, c] = await Promise.all([lab.start('a', open), lab.start('b'), lab.start('c')])
    await joined([a, b, c])
    await a.access.importModel({ source: TINY, name: 'tiny' }, () => undefined)
    await a.access.deploy('tiny', cut(), () => undefined)
  }, 120_000)
  afterAll(() => lab.stop())

  const cut = (): ReturnType<typeof placement> =>
    placement('tiny', [
      [b, 0, 4],
      [c, 4, 8],
    ])

  async function complete(body: Readonly<Record<string, unknown>>): Promise<Completion> {
    const response = await fetch(`${a.http!}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'tiny', temperature: 0, echo: true, logprobs: 1, ...body }),
    })
    expect(response.status, await response.clone().text()).toBe(200)
    return (await response.json()) as Completion
  }

  it('is that of an independent reference, in windows', async () => {
    const { passage } = JSON.parse(readFileSync(new URL('reference.json', FOLDER), 'utf8')) as {
      readonly passage: { readonly tokens: number; readonly nll: number }
    }
    const text = readFileSync(new URL('heldout-sample.txt', FOLDER), 'utf8')
    const { ids } = await tokenized(text)
    const before = await counter(a, 'echo_windows')
    const { choices, usage } = await complete({ prompt: ids.slice(0, passage.tokens), max_tokens: 0 })
    const { token_logprobs: told, tokens, text_offset: offsets } = choices[0]!.logprobs!
    expect(told).toHaveLength(passage.tokens)
    expect(told[0]).toBeNull()
    const nll = -told.slice(1).reduce<number>((sum, value) => sum + value!, 0) / (passage.tokens - 1)
    expect(Math.abs(nll - passage.nll)).toBeLessThan(NATS)
    expect(choices[0]).toMatchObject({ text: tokens.join(''), finish_reason: 'length' })
    expect(text.startsWith(choices[0]!.text)).toBe(true)
    expect(offsets.map((offset, index) => choices[0]!.text.startsWith(tokens[index]!, offset))).not.toContain(false)
    expect(usage).toMatchObject({ prompt_tokens: passage.tokens, completion_tokens: 0 })
    // Each step but the first carries as many tokens as a window holds.
    expect((await counter(a, 'echo_windows')) - before).toBe(Math.ceil((passage.tokens - 2) / 16))
  })

  it('has the bits of the answer that it was, whole or split, with guesses or without, and the answer goes on as it would', async () => {
    const told: number[] = []
    const take = (event: GenerateEvent): unknown =>
      event.type === 'token' && event.logprob !== undefined && told.push(event.logprob)
    const long = await answer(a, { ...greedy('tiny', 60), logprobs: 0 }, undefined, undefined, take)
    const asked = long.start!.prompt_ids
    const prompt = [...asked, ...long.ids.slice(0, 40)]
    const from = asked.length
    for (const more of [{}, { weft: { speculate: 'off' } }, { weft: { placement: 'local' } }]) {
      const { choices, usage } = await complete({ prompt, max_tokens: 20, ...more })
      const got = choices[0]!.logprobs!.token_logprobs
      expect(got).toHaveLength(from + 60)
      expect(got.slice(from)).toEqual(told)
      expect(usage).toMatchObject({ prompt_tokens: from + 40, completion_tokens: 20 })
      expect(choices[0]!.text.endsWith(long.end!.text)).toBe(true)
    }
  })

  it('is told as a stream, piece by piece, and a token that ends texts ends none here', async () => {
    const prompt = [5, 6, 0, 1, 2, 7, 8]
    const whole = await complete({ prompt, max_tokens: 3 })
    expect(whole.choices[0]!.logprobs!.tokens.length).toBeGreaterThan(prompt.length)
    const response = await fetch(`${a.http!}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'tiny',
        temperature: 0,
        echo: true,
        logprobs: 1,
        prompt,
        max_tokens: 3,
        stream: true,
      }),
    })
    const pieces = (await response.text())
      .split('\n')
      .filter((line) => line.startsWith('data: {'))
      .map((line) => JSON.parse(line.slice(6)) as Completion)
    const all = pieces.flatMap(({ choices }) => choices[0]?.logprobs?.token_logprobs ?? [])
    expect(all).toEqual(whole.choices[0]!.logprobs!.token_logprobs)
    expect(pieces.map(({ choices }) => choices[0]?.text ?? '').join('')).toBe(whole.choices[0]!.text)
  })

  it('of one token is none; and nothing is wanted only where something is echoed', async () => {
    const { choices } = await complete({ prompt: [5], max_tokens: 0 })
    expect(choices[0]!.logprobs).toMatchObject({ token_logprobs: [null], top_logprobs: [null] })
    const response = await fetch(`${a.http!}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'tiny', prompt: 'x', max_tokens: 0 }),
    })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: { param: 'max_tokens' } })
  })

  it('is the same when a stage is lost on the way', async () => {
    const { ids } = await tokenized(readFileSync(new URL('heldout-sample.txt', FOLDER), 'utf8'))
    const prompt = ids.slice(0, 400)
    const alone = await complete({ prompt, max_tokens: 0, weft: { placement: 'local' } })
    const before = await counter(a, 'echo_windows')
    const split = complete({ prompt, max_tokens: 0 })
    await until('it is under way', async () => (await counter(a, 'echo_windows')) > before + 1)
    b.child.kill('SIGKILL')
    expect((await split).choices).toEqual(alone.choices)
    expect(await counter(a, 'failovers')).toBeGreaterThan(0)
  })

  /** The beginning of the text, fewer tokens than the context has. */
  async function tokenized(text: string): Promise<{ ids: readonly number[] }> {
    const input = { kind: 'text', text: text.slice(0, 1200) } as const
    const { start, error } = await answer(a, { ...greedy('tiny', 1), input })
    if (start === undefined) throw error
    return { ids: start.prompt_ids }
  }
})
