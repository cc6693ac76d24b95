import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Fault } from '../../src/base/fault.ts';
import { followProgram } from '../../src/gitolite/perl-program.ts';
import { PerlVariables } from '../../src/gitolite/perl-variables.ts';

function follow(text: string): { readonly variables: PerlVariables; readonly complaints: readonly string[] } {
  const variables = new PerlVariables(() => undefined);
  const complaints = followProgram(text, variables).map(({ line, what }) => `${line}: ${what}`);
  return { variables, complaints };
}

/** Between blanks; `~` is a line end. */
const PIECES = String.raw`
  %RC = ( ) ); $rc{A} { } [ ] => , ; = .= ' " qw( q{ <<END ~END~ push @{ $RC{L} } delete $ @ % -> # ~ \ a 0x 07 1.5 - . || ? :
  my $x @x %x "$x[0]{k}" "@{$x}" =pod~ ~=cut~ if sub __END__ $# \0 qr( qr/ s/ / // m' y tr -s
`
  .trim()
  .split(/\s+/)
  .map((piece) => piece.replaceAll('~', '\n'))
  .concat(' ', '`');

void test('any text is followed to its end, or refused as broken: nothing hangs, nothing else is thrown', () => {
  const texts = fc.array(fc.oneof(fc.constantFrom(...PIECES), fc.string({ maxLength: 3 })), { maxLength: 60 });
  fc.assert(
    fc.property(texts, (pieces) => {
      try {
        follow(pieces.join(''));
      } catch (error) {
        assert.ok(error instanceof Fault && error.message === 'settings are broken', String(error));
      }
    }),
    { numRuns: 3_000 },
  );
});

void test('a list with a semicolon in it is no Perl: it is refused, and nobody waits for its end', () => {
  for (const text of ['%RC = ( A => 1; B => 2 );', '%RC = ( A => [ 1;2 ] );', 'push @{ $RC{L} }, (;1);', '@x = (;'])
    assert.throws(() => follow(text), { message: 'settings are broken' }, text);
});

void test('texts between single and double quotes come out as they went in', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const single = `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
      const double = `"${text.replaceAll(/["\\$@]/g, String.raw`\$&`)}"`;
      const { variables, complaints } = follow(`%RC = ( A => ${single}, B => ${double}, );\n1;\n`);
      assert.deepEqual(complaints, []);
      assert.deepEqual(
        [...variables.hash('RC')],
        [
          ['A', text],
          ['B', text],
        ],
      );
    }),
  );
});

void test('a long file is followed in time that grows with its length', () => {
  const lines = Array.from({ length: 60_000 }, (_, index) => `  K${index} => "v$ENV{X}",\n`);
  const { variables } = follow(`%RC = (\n${lines.join('')});\n1;\n`);
  assert.equal(variables.hash('RC').size, 60_000);
  const list = `(${'1,'.repeat(200_000)})`;
  const pushed = follow(`@x = ${list}; push @x, ${list}; $RC{A} = [ @x ];`);
  const value = pushed.variables.hash('RC').get('A');
  assert.equal(Array.isArray(value) ? value.length : 0, 400_000);
});

void test('complaints carry the line of what they are about, also behind texts of several lines', () => {
  const { complaints } = follow("%RC = (\n A => 'one\ntwo',\n B => <<X,\nbody\nX\n C => `x`,\n);\nfoo();\n");
  assert.deepEqual(
    complaints.map((line) => line.split(':')[0]),
    ['7', '9'],
  );
});

void test('a variable that nothing has given a value is not guessed', () => {
  const { variables, complaints } = follow(`$RC{A} = $unknown; $RC{B} = "x@list"; $RC{C} = "cost: 5$"; 1;`);
  assert.deepEqual([...variables.hash('RC')], [['C', 'cost: 5$']]);
  assert.equal(complaints.length, 2);
});

void test('settings are never keys of a prototype', () => {
  const { variables } = follow(`$RC{__proto__}{polluted} = 1; $RC{constructor}{x} = 1;`);
  assert.equal(Object.hasOwn(Object.prototype, 'polluted'), false);
  assert.ok(variables.hash('RC').get('__proto__') instanceof Map);
});
