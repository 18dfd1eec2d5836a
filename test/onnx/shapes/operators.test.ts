/** Each family of operators against the engine: one inference with named sizes, real runs at two of them. */
import { describe, it } from 'vitest'
import { testFolder } from '../ir/support/folder.ts'
import { ATTENTION_CASES, MICROSOFT_CASES } from './support/cases-attention.ts'
import { CONVOLUTION_CASES } from './support/cases-convolution.ts'
import { ELEMENT_CASES, PRODUCT_CASES, SEQUENCE_CASES } from './support/cases-plain.ts'
import { SHAPING_CASES } from './support/cases-shaping.ts'
import { expectExact } from './support/oracle.ts'
import { made } from './support/graphs.ts'

const at = testFolder()

describe.each([
  ['elementwise, reductions, normalizations, recurrent', ELEMENT_CASES],
  ['shapes and slices', SHAPING_CASES],
  ['convolutions, pools and resampling', CONVOLUTION_CASES],
  ['products', PRODUCT_CASES],
  ['attention', ATTENTION_CASES],
  ['Microsoft', MICROSOFT_CASES],
  ['lists, signals and trees', SEQUENCE_CASES],
])('%s', (_, cases) => {
  it.each(Object.entries(cases))('%s', async (_, { sizes, elements, ...parts }) => {
    await expectExact(at, made(parts), sizes, elements)
  })
})
