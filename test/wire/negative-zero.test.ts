import { expect, test } from '@jest/globals';
import { jsonToText, parseJson, stringifyJson, textToJson } from '../../src/wire/values.js';

test('negative zero keeps its sign on the wire, spelled so that Python reads a float', () => {
  expect(textToJson('float', '-0')).toBe('-0.0');
  expect(jsonToText('float', parseJson('-0.0'))).toBe('-0');
  expect(stringifyJson(parseJson('{"x":[-0.0,0.0]}'))).toBe('{"x":[-0.0,0]}');
});
