/** Verbs against a running peer: the real control API on a real socket, a stand-in behind it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MODEL, WORDS } from '../api/fake-peer.ts'
import { width } from '../../src/cli/text.ts'
import { call, json, jsonLines, runningHome } from './support.ts'
import type { InProcess, InProcessOptions, TestHome } from './support.ts'

let it: TestHome
beforeAll(async () => {
  it = await runningHome()
})
afterAll(() => it[Symbol.asyncDispose]())

const here = (argv: string[], options?: InProcessOptions): Promise<InProcess> =>
  call([...argv, '--home', it.home], options)
const WHOLE = WORDS.slice(0, 6).join('')

describe('run', () => {
  test('streams the text to stdout, what was held back included, and ends the line', async () => {
    const { status, stdout, stderr } = await here(['run', MODEL, 'hello'])
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: `${WHOLE}\n`, stderr: '' })
  })

  test('says on stderr what it waits for when the first token takes longer than two seconds', async () => {
    it.peer.loading = () => new Promise((resolve) => setTimeout(resolve, 2_300))
    const { status, stdout, stderr } = await here(['run', MODEL, 'hello'])
    it.peer.loading = null
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${WHOLE}\n` })
    expect(stderr).toMatch(/^waiting for the first token of tiny:1m \(2s so far, Ctrl-C ends it\)$/m)
  })

  test('prints weft.completion/1 and nothing else with --json', async () => {
    const { status, stdout } = await here(['run', MODEL, 'hello', '--json'])
    expect(status).toBe(0)
    const document = json(stdout)
    expect(Object.keys(document)).toEqual([
      'schema',
      'model',
      'text',
      'prompt_ids',
      'ids',
      'finish',
      'logprobs',
      'route',
      'stats',
    ])
    expect(document).toMatchObject({ schema: 'weft.completion/1', model: MODEL, text: WHOLE, prompt_ids: [0, 1, 2] })
    expect(document['logprobs']).toBeNull()
    expect(document['route']).toHaveLength(2)
  })

  test('--jsonl streams a line a token, then the document', async () => {
    const lines = jsonLines((await here(['run', MODEL, 'hello', '--jsonl'])).stdout)
    expect(lines).toHaveLength(7)
    expect(lines[0]).toEqual({ id: 0, text: 'Hello' })
    expect(lines.at(-1)).toMatchObject({ schema: 'weft.completion/1', text: WHOLE })
  })

  test('--logprobs gives one list a token with the chosen one in it', async () => {
    const two = json((await here(['run', MODEL, 'hello', '--json', '--logprobs', '2'])).stdout)
    expect(two['logprobs']).toHaveLength(6)
    expect((two['logprobs'] as unknown[])[0]).toEqual([
      { id: 0, logprob: -0.25 },
      { id: 1, logprob: -1.25 },
    ])
    const none = json((await here(['run', MODEL, 'hello', '--json', '--logprobs', '0'])).stdout)
    expect((none['logprobs'] as unknown[])[0]).toEqual([{ id: 0, logprob: -0.25 }])
  })

  test('hands the flags on as the pipeline wants them', async () => {
    const flags = '--temperature 0 --top-k 5 --top-p 0.5 --min-p 0.1 --repeat-penalty 1.1 --seed 9 --max-tokens 3'
    await here(['run', MODEL, 'hello', ...flags.split(' '), '--stop', 'a', '--stop', 'b', '--system', 'be kind'])
    expect(it.peer.requests.at(-1)).toEqual({
      model: MODEL,
      input: {
        kind: 'chat',
        messages: [
          { role: 'system', content: 'be kind' },
          { role: 'user', content: 'hello' },
        ],
      },
      sampling: {
        temperature: 0,
        topK: 5,
        topP: 0.5,
        minP: 0.1,
        repetitionPenalty: 1.1,
        presencePenalty: 0,
        frequencyPenalty: 0,
        seed: 9,
      },
      maxTokens: 3,
      stop: ['a', 'b'],
    })
  })

  test('reads raw text, ids and standard input', async () => {
    await here(['run', MODEL, 'x', '--raw'])
    expect(it.peer.requests.at(-1)?.input).toEqual({ kind: 'text', text: 'x', special: false })
    await here(['run', MODEL, 'x', '--special'])
    expect(it.peer.requests.at(-1)?.input).toEqual({ kind: 'text', text: 'x', special: true })
    await here(['run', MODEL, '--ids', '1,2, 3'])
    expect(it.peer.requests.at(-1)?.input).toEqual({ kind: 'ids', ids: [1, 2, 3] })
    await here(['run', MODEL, '-', '--raw'], { input: 'two\nlines\n' })
    expect(it.peer.requests.at(-1)?.input).toMatchObject({ text: 'two\nlines' })
    await here(['run', MODEL, '--raw'], { input: 'piped' })
    expect(it.peer.requests.at(-1)?.input).toMatchObject({ text: 'piped' })
  })

  test('two runs without --seed have two seeds', async () => {
    await here(['run', MODEL, 'x'])
    await here(['run', MODEL, 'x'])
    const [one, two] = it.peer.requests.slice(-2)
    expect(one?.sampling.seed).not.toBe(two?.sampling.seed)
  })

  test('a failure in the middle leaves the tokens on stdout and tells the error', async () => {
    it.peer.failAt = 3
    const { status, stdout, stderr } = await here(['run', MODEL, 'hello'])
    const structured = await here(['run', MODEL, 'hello', '--jsonl'])
    it.peer.failAt = null
    expect(stdout).toBe(`${WORDS.slice(0, 3).join('')}\n`)
    expect(stderr).toMatch(/^error: peer lost in the middle +WEFT-INF-503\n/)
    expect(status).not.toBe(0)
    expect(jsonLines(structured.stdout).at(-1)).toMatchObject({
      schema: 'weft.error/1',
      error: { code: 'WEFT-INF-503', message: 'peer lost in the middle', hint: 'a hint' },
    })
  })

  test('Ctrl-C in the middle stops the work at the peer and has status 130', async () => {
    it.peer.hold = (index, signal) =>
      index < 2
        ? Promise.resolve()
        : new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    const before = it.peer.aborted
    const sent = await here(['run', MODEL, 'hello'], {
      onOutput: (text, send) => {
        if (text === WORDS.slice(0, 2).join('')) send('SIGINT')
      },
    })
    it.peer.hold = null
    expect(sent).toMatchObject({ status: 130, stdout: `${WORDS.slice(0, 2).join('')}\n`, stderr: '' })
    await expect.poll(() => it.peer.aborted).toBe(before + 1)
  })

  test('--timeout ends an answer that takes too long with status 9', async () => {
    it.peer.hold = (_index, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    const { status, stdout } = await here(['run', MODEL, 'hello', '--timeout', '100ms', '--json'])
    it.peer.hold = null
    expect(status).toBe(9)
    expect(json(stdout)).toMatchObject({ schema: 'weft.error/1' })
  })

  test('--stats goes to stderr with the hops', async () => {
    const { stdout, stderr } = await here(['run', MODEL, 'hello', '--stats'])
    expect(stdout).toBe(`${WHOLE}\n`)
    expect(stderr).toMatch(/^prompt eval count: +3 tokens$/m)
    expect(stderr).toMatch(/^hop 2: .*\[2:4\] \(process 2\)$/m)
  })

  test('a placement is read from a file; one for another model is refused before anything runs', async () => {
    const file = join(it.home, 'placement.json')
    const stages = [{ peer: '12D3KooWFake', from: 0, to: 4 }]
    await writeFile(file, JSON.stringify({ model: MODEL, stages }))
    expect((await here(['run', MODEL, 'x', '--placement', file])).status).toBe(0)
    expect(it.peer.requests.at(-1)?.placement).toEqual({ model: MODEL, stages })
    // As editors of Windows save it.
    await writeFile(file, `\u{feff}${JSON.stringify({ model: MODEL, stages })}\r\n`)
    expect((await here(['run', MODEL, 'x', '--placement', file])).status).toBe(0)
    await writeFile(file, JSON.stringify({ model: 'other', stages }))
    const before = it.peer.requests.length
    expect((await here(['run', MODEL, 'x', '--placement', file])).status).toBe(2)
    await writeFile(file, '{')
    expect((await here(['run', MODEL, 'x', '--placement', file])).status).toBe(2)
    expect((await here(['run', MODEL, 'x', '--placement', join(it.home, 'none.json')])).status).toBe(4)
    expect(it.peer.requests).toHaveLength(before)
  })
})

describe('chat', () => {
  test('takes a line as a turn and remembers what was said', async () => {
    const { status, stdout } = await here(['chat', MODEL], { input: 'one\ntwo\n/exit\nthree\n' })
    expect(status).toBe(0)
    expect(stdout).toBe(`${WHOLE}\n${WHOLE}\n`)
    expect(it.peer.requests.at(-1)?.input).toEqual({
      kind: 'chat',
      messages: [
        { role: 'user', content: 'one' },
        { role: 'assistant', content: WHOLE },
        { role: 'user', content: 'two' },
      ],
    })
  })

  test('a failed turn is told, and the next one goes on', async () => {
    it.peer.failAt = 0
    const { stderr, stdout } = await here(['chat', MODEL], { input: 'one\n' })
    it.peer.failAt = null
    expect(stdout).toBe('')
    expect(stderr).toMatch(/WEFT-INF-503/)
  })
})

describe('the other verbs', () => {
  test('status answers its four questions, and as JSON is the state itself', async () => {
    const { stdout, status } = await here(['status'])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^UP /)
    expect(stdout).toMatch(/^DRAFTS {2}tiny:small {2}guesses for 1 answer now, 2\.9 MiB$/m)
    const document = json((await here(['status', '--json'])).stdout)
    expect(Object.keys(document)[0]).toBe('schema')
    expect(document).toMatchObject({
      schema: 'weft.status/1',
      peers: expect.any(Array),
      stages: expect.any(Array) as unknown,
    })
  })

  test('ls, ps and show print tables and documents', async () => {
    expect((await here(['ls'])).stdout).toMatch(/^MODEL +SIZE +BLOCKS +SERVED +WHERE +LICENCE\ntiny:1m /)
    expect(json((await here(['ls', '--json'])).stdout)).toMatchObject({
      schema: 'weft.models/1',
      models: [{ model: MODEL }],
    })
    expect(json((await here(['ps', '--json'])).stdout)).toMatchObject({
      schema: 'weft.ps/1',
      drafts: [{ model: 'tiny:small', answers: 1 }],
      transfers: [{ holders: 3 }],
    })
    expect((await here(['ps'])).stdout).toMatch(
      /^DRAFT MODEL +ANSWERS +PID +MEMORY +STATE\ntiny:small +1 +2 +2\.9 MiB +ready$/m,
    )
    expect((await here(['ps'])).stdout).toMatch(/fetch +4\.8 MiB +19\.1 MiB +977 KiB\/s +3 peers/)
    expect(json((await here(['show', MODEL, '--json'])).stdout)).toMatchObject({ schema: 'weft.manifest/1' })
  })

  test('a model that is not there is the error of the peer, under its own code', async () => {
    const { stdout } = await here(['show', 'none', '--json'])
    expect(json(stdout)).toMatchObject({ error: { code: 'WEFT-MOD-404', message: 'no model none', hint: 'a hint' } })
  })

  test('import shows progress on stderr and the model on stdout', async () => {
    const { stdout, stderr } = await here(['import', 'npm:x', '--name', 'mine'])
    expect(stdout).toMatch(/^mine {2}/)
    expect(stderr).toMatch(/^fetching: \d+ %/)
    expect(json((await here(['import', 'npm:x', '--json'])).stdout)).toMatchObject({
      schema: 'weft.model/1',
      model: MODEL,
    })
    expect((await here(['import', 'bad', '--json'])).stdout).toMatch(/"code":"WEFT-MOD-404"/)
  })

  test('deploy, undeploy and rm reach the peer', async () => {
    expect((await here(['deploy', MODEL])).stdout).toMatch(/\[0:4\].*epoch 1/)
    expect((await here(['undeploy', MODEL])).status).toBe(0)
    expect((await here(['rm', MODEL])).status).toBe(0)
    for (const args of [
      ['rm', MODEL, '--last'],
      ['pin', MODEL],
      ['unpin', MODEL],
    ])
      expect((await here(args)).status).toBe(0)
    expect(it.peer.calls.slice(-3)).toEqual([`remove ${MODEL} last`, `pin ${MODEL}`, `unpin ${MODEL}`])
    expect(it.peer.calls).toEqual(expect.arrayContaining([`undeploy ${MODEL}`, `remove ${MODEL}`]))
  })

  test('peers --wide has tables of ways, devices and blocks below the peers, and 80 columns without it', async () => {
    const narrow = (await here(['peers'])).stdout
    expect(narrow.split('\n').filter((line) => width(line) > 80)).toEqual([])
    const wide = (await here(['peers', '--wide'])).stdout
    expect(wide).toContain(
      narrow
        .split('\n')[0]!
        .trimEnd()
        .replace(/SERVES.*/, ''),
    )
    expect(wide).toMatch(
      /^mint-hare +0\.42 ms +0\.05 ms +0 % +105 MiB\/s +- +direct +9\.3 GiB\/s +on battery 61 %, 79 °C of 80$/m,
    )
    expect(wide).toMatch(/^mint-hare +tiny:1m +0\.60 ms +- +0\.50 ms +0\.10 ms +30 % +8: 1\.9x$/m)
    expect(wide).toMatch(/^calm-otter\* +- +- +- +- +- +- +- +-$/m)
    expect(json((await here(['peers', '--json'])).stdout)).toMatchObject({
      schema: 'weft.peers/1',
      peers: [{ rtt_ms: 0.42, link: { path: 'direct', loss: 0 }, profile: { models: [{ block_ms: 0.6 }] } }],
    })
  })

  test('netcheck shows interfaces, pairs and a verdict, each in its line', async () => {
    const { status, stdout } = await here(['netcheck'])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^eth0 +192\.0\.2\.1 +yes +1 answered +network$/m)
    expect(stdout).toMatch(/^docker0 +172\.17\.0\.1 +no +- +container bridge$/m)
    expect(stdout).toMatch(/^mint-hare +0\.40 ms +0\.05 ms +0 % +105 MiB\/s +85\.8 MiB\/s +direct +probed$/m)
    expect(stdout).toMatch(/^VERDICT +1 peer is connected, and nothing is in the way$/m)
    expect(stdout.split('\n').filter((line) => width(line) > 80)).toEqual([])
    expect(json((await here(['netcheck', 'mint-hare', '--json'])).stdout)).toMatchObject({
      schema: 'weft.netcheck/1',
      pairs: [{ peer: '12D3KooWOther', probe: { bytes: 1_966_080 } }],
    })
    expect((await here(['netcheck', 'nobody', '--json'])).status).not.toBe(0)
  })

  test('wait returns at once for what is so, and has status 9 for what does not come', async () => {
    expect((await here(['wait', '--for', `model=${MODEL}`])).status).toBe(0)
    const late = await here(['wait', '--for', 'peers=99', '--timeout', '300ms', '--json'])
    expect(late.status).toBe(9)
    expect(json(late.stdout)).toMatchObject({ error: { code: 'WEFT-CLI-020' } })
  })

  test('bench measures both sides and prints their ratio', async () => {
    const document = json(
      (await here(['bench', '--tokens', '4', '--repeat', '1', '--against', 'single', '--json'])).stdout,
    )
    expect(document).toMatchObject({
      schema: 'weft.bench/1',
      model: MODEL,
      sides: [{ label: 'mesh' }, { label: 'single' }],
    })
    expect(document['decode_ratio']).toBe(1)
  })
})
