# test/mutants.sh - sourced by the runners of known mistakes, test/*/mutants/run:
# is each of them noticed?
#
# NAME.patch puts one mistake into a copy of what it names; the rest is linked
# as it was built. Its first lines say what the mistake is, and who is to
# notice it. A runner sets `here`, its folder, and says by two functions
#   build TREE PATCH    what to link, with `link`; what was patched is compiled
#   try TREE PATCH      who noticed it; or, and fail, that nobody did
# `make` sets B, COMPILE, and OBJECTS_X and LIBS_X for each program X.
set -uo pipefail
work=$B/$here
patched=

field() { # key patch
    sed -n "s/^$1: *//p" "$2"
}

compile() { # tree patch
    local file files
    files=$(sed -n 's|^+++ b/||p' "$2")
    for file in $files; do
        case $file in
        *.c) install -D "$file" "$1/$file" ;;
        *) echo "$file is not a .c file" && return 1 ;;
        esac
    done
    patch -d "$1" -p1 -s -F0 <"$2" || return 1
    for file in $files; do
        $COMPILE -I"$1" -c -o "$1/${file%.c}.o" "$1/$file" || return 1
        patched+=" ${file%.c}.o"
    done
}

# What was patched stands before all others; another program's main.c is not
# this one's.
link() { # tree output program [flag]
    local file objects=OBJECTS_$3 libs=LIBS_$3
    objects=" ${!objects} "
    for file in $patched; do
        [[ $file == */main.o && $objects != *" $B/$file "* ]] && continue
        objects=" $1/$file${objects/ $B\/$file / }"
    done
    mkdir -p "$(dirname "$1/$2")"
    $COMPILE "${4:--pie}" -o "$1/$2" $objects ${!libs}
}

verdict() { # status name text
    if [ "$1" = 0 ]; then
        printf 'ok    %-26s %s\n' "$2" "$3"
    else
        printf 'FAIL  %-26s %s\n' "$2" "$3"
    fi
}

# One line, or some that say why it failed.
one() { # name
    local patch=$here/$1.patch tree=$work/$1 said
    mkdir -p "$tree"
    if ! { compile "$tree" "$patch" && build "$tree" "$patch"; } \
        >"$tree/log" 2>&1; then
        verdict 1 "$1" 'does not apply or build'
        sed 's/^/          /' "$tree/log"
        return
    fi
    if said=$(try "$tree" "$patch"); then
        verdict 0 "$1" "$said"
    else
        verdict 1 "$1" "$said"
        tail -n 2 "$tree/log" | sed 's/^/          /'
    fi
}

# The names that were asked for, or all.
mutants_named() { # NAME...
    printf '%s\n' ${*:-$(basename -s .patch $here/*.patch)}
}

# Two at a time.
mutants_run() { # NAME...
    mutants_named "$@" | xargs -P 2 -n 1 "$here/run" --one |
        tee -a "$work/result"
    local passed failed
    passed=$(grep -c '^ok' "$work/result")
    failed=$(grep -c '^FAIL' "$work/result")
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
