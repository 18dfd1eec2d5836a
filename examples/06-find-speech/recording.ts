/** Speech of which is known where it is: by people who labelled it, or because it was put there. */
import { readFile } from 'node:fs/promises'
import { find, inData, named } from '../find.ts'
import { RATE, readWav } from '../wav.ts'
import { stretchesOfRttm } from './speech.ts'
import type { Stretch } from './speech.ts'

export interface Recording {
  readonly from: string
  readonly samples: Float32Array
  readonly spoken: readonly Stretch[]
}

/** Seconds of silence before, between and after sentences. */
const SILENCE = 1.5
const PACKAGE = 'pypi:pyannote.audio==4.0.7:pyannote/audio/sample'

export async function findRecording(): Promise<Recording> {
  const folder = 'audio/librivox/sense_and_sensibility_01_austen_64kb-'
  const read = ['0880', '0890', '0930'].map((sentence) => inData(`${folder}${sentence}.wav`))
  if (read.every((path) => path !== undefined) && named('in') === undefined) return putTogether(read)
  const wav = await find({
    option: 'in',
    source: `${PACKAGE}/sample.wav`,
    sha256: 'c319b4abca767b124e41432d364fd7df006cb26bb79d09326c487d606a134e6e',
  })
  const labels = await find({
    option: 'labels',
    source: `${PACKAGE}/sample.rttm`,
    sha256: 'd78fe62c69d8e6dcbb42c26adfce83faccb374c5a1e6d987fe37f85f1c173c87',
  })
  const spoken = stretchesOfRttm(await readFile(labels, 'utf8'))
  return { from: 'a telephone call, labelled by people', samples: await readWav(wav), spoken }
}

async function putTogether(paths: readonly string[]): Promise<Recording> {
  const sentences = await Promise.all(paths.map(readWav))
  const gap = SILENCE * RATE
  const samples = new Float32Array(sentences.reduce((sum, { length }) => sum + length + gap, gap))
  const spoken: Stretch[] = []
  let at = gap
  for (const sentence of sentences) {
    samples.set(sentence, at)
    // A reader breathes before and after: the first and the last sample of some loudness count.
    const loud = sentence.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0) / 20
    const isLoud = (sample: number): boolean => Math.abs(sample) > loud
    spoken.push({ from: (at + sentence.findIndex(isLoud)) / RATE, to: (at + sentence.findLastIndex(isLoud)) / RATE })
    at += sentence.length + gap
  }
  return { from: `${sentences.length} sentences of an audio book, with silence between`, samples, spoken }
}
