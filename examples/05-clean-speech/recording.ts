/** What there is to clean: a recording under noise, and without it to compare. */
import { find, inData } from '../find.ts'
import { RATE, readWav } from '../wav.ts'
import { withNoise } from './noise.ts'

export interface Recording {
  readonly clean: Float32Array
  readonly noisy: Float32Array
}

/** Seconds. */
const SPEECH = 7
/** Of the speech over the noise. */
const DECIBELS = 5

/** A second of silence and then speech, with noise over all of it. */
export async function findRecording(): Promise<Recording> {
  const path = await find({
    option: 'in',
    data: 'audio/librivox/sense_and_sensibility_01_austen_64kb-0870.wav',
    source: 'pypi:pyannote.audio==4.0.7:pyannote/audio/sample/sample.wav',
    sha256: 'c319b4abca767b124e41432d364fd7df006cb26bb79d09326c487d606a134e6e',
  })
  const clean = new Float32Array((1 + SPEECH) * RATE)
  clean.set((await readWav(path)).subarray(-SPEECH * RATE), RATE)
  return { clean, noisy: withNoise(clean, DECIBELS) }
}

/** What the authors of the model cleaned themselves. It is in their repository and in ../shared/data only. */
export async function findAuthors(): Promise<Recording | null> {
  const [noisy, clean] = [inData('audio/gtcrn_mix.wav'), inData('audio/gtcrn_enh_reference.wav')]
  return noisy === undefined || clean === undefined
    ? null
    : { noisy: await readWav(noisy), clean: await readWav(clean) }
}
