# The gem, as its users get it. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require "open3"
require "tmpdir"

class TestGem < PGCacheTest
  def run!(*command, **options)
    output, status = Open3.capture2e(*command, **options)
    assert status.success?, output
    output
  end

  def test_it_builds_and_installs_into_a_clean_folder
    gem = Dir["#{ENV.fetch("PGCACHE_GEM_FOLDER")}/pgcache-*.gem"].first or flunk "make ruby writes the gem"
    Dir.mktmpdir("pgcache gem") do |folder|
      prefix = Dir.mktmpdir("pgcache")
      env = { "GEM_HOME" => "#{folder}/gems", "GEM_PATH" => "#{folder}/gems", "RUBYLIB" => nil, "RUBYOPT" => nil,
              "PKG_CONFIG_PATH" => "#{prefix}/pkgconfig", "LD_LIBRARY_PATH" => ENV.fetch("LD_LIBRARY_PATH") }
      Dir.mkdir("#{prefix}/pkgconfig")
      File.symlink("#{ROOT}/abi", "#{prefix}/include")
      File.symlink(File.realpath(ENV.fetch("LD_LIBRARY_PATH").split(":").first), "#{prefix}/lib")
      File.write("#{prefix}/pkgconfig/pgcache.pc", File.read("#{prefix}/lib/pgcache.pc").gsub(/^(prefix|libdir|includedir)=.*/) do |line|
        { "prefix" => "prefix=#{prefix}", "libdir" => "libdir=#{prefix}/lib", "includedir" => "includedir=#{prefix}/include" }[line[/\w+/]]
      end)
      refused, status = Open3.capture2e({ **env, "PKG_CONFIG_PATH" => "/nowhere", "PKG_CONFIG_LIBDIR" => "/nowhere" }, RbConfig.ruby, "-S",
                                        "gem", "install", "--local", "--no-document", gem, chdir: folder)
      refute status.success?
      assert_match(/PKG_CONFIG_PATH/, refused)
      # Not optimized: it is not about speed.
      run!(env, RbConfig.ruby, "-S", "gem", "install", "--local", "--no-document", gem, "--", "--with-cxxflags=-O0 -fPIC", chdir: folder)
      output = run!({ **env, "PGCACHE_URL" => URL, "PGCACHE_SCHEMA" => SCHEMA, "PGCACHE_NAMESPACE" => @namespace }, RbConfig.ruby, "-e",
                    'require "pgcache"; PGCache::Cache.open { |c| c.put("key", 1); print c.get("key"), $LOADED_FEATURES.grep(/raw.so/) }',
                    chdir: folder)
      assert_match(/\A1.*#{Regexp.escape(folder)}/, output)
      assert_empty Dir["#{folder}/gems/gems/pgcache-*/**/*.i"]
    ensure
      FileUtils.rm_rf(prefix)
    end
  end
end
