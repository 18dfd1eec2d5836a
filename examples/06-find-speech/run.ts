/** Where somebody speaks: a recurrent detector that hears a second of sound at a time, as a microphone would bring it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPeer } from '../../src/index.ts' // in your own program: from 'weft-mesh'
import type { NamedTensors } from '../../src/index.ts'
import { check, say, table } from '../check.ts'
import { find } from '../find.ts'
import { RATE } from '../wav.ts'
import { findRecording } from './recording.ts'
import { shareIn, STEP, stepsOf, stretchesOf } from './speech.ts'

const { from, samples, spoken } = await findRecording()
const model = await find({
  option: 'model',
  data: 'audio/silero_vad_v5.onnx',
  source: 'npm:@ricky0123/vad-web@0.0.31:dist/silero_vad_v5.onnx',
  sha256: '2623a2953f6ff3d2c1e61740c6cdb7168133479b267dfef114a4a3cc5bdd788f',
})
const home = await mkdtemp(join(tmpdir(), 'weft-example-'))
try {
  await using peer = await createPeer({ home, network: 'example-06', lan: 'off', threads: 1 })
  await peer.importModel(model, { name: 'silero' })

  const sr = { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(RATE)) } as const
  const silent = { type: 'float32', dims: [2, 1, 128], data: new Float32Array(256) } as const
  const carries = [['stateN', 'state']] as const
  const hear = async (input: NamedTensors[string], state: NamedTensors[string]) => {
    const { outputs } = await peer.infer('silero', { input, state, sr }, { carries })
    return { state: outputs['stateN']!, heard: [...(outputs['output']!.data as Float32Array)] }
  }

  // The state goes from call to call: what the model has heard so far.
  const heard: number[] = []
  let state: NamedTensors[string] = silent
  for (let at = 0; at + STEP <= samples.length; at += 31 * STEP) {
    const piece = stepsOf(samples.subarray(at, at + 31 * STEP), samples.subarray(0, at))
    const next = await hear(piece, state)
    heard.push(...next.heard)
    state = next.state
  }
  const found = stretchesOf(heard)
  say(`${from}: ${(samples.length / RATE).toFixed(1)} s`)
  table([['speech from', 'to, s'], ...found.map((one) => [one.from.toFixed(2), one.to.toFixed(2)])])

  const atOnce = await hear(stepsOf(samples, new Float32Array(0)), silent)
  check(heard.join() === atOnce.heard.join(), 'a second at a time gives what all at once gives')
  const seconds = samples.length / RATE
  const quiet = [0, ...spoken.map(({ to }) => to)].map((end, index) => ({
    from: end,
    to: spoken[index]?.from ?? seconds,
  }))
  const [met, wrong] = [shareIn(spoken, found, seconds), shareIn(quiet, found, seconds)]
  check(met > 0.9, `${(100 * met).toFixed(1)} % of the speech is found`)
  check(wrong < 0.1, `${(100 * wrong).toFixed(1)} % of the silence is taken for speech`)
} finally {
  await rm(home, { recursive: true, force: true })
}
